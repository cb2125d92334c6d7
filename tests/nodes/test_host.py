"""What is plugged follows the profile, and nothing else is touched."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from nodes.host import Host
from nodes.surroundings import Surroundings
from tests import leaks
from tests.nodes.running import (
    call_of,
    eventually,
    nothing,
    profile_of,
    scripted,
    text_of,
)
from wire.errors import (
    BadArguments,
    NotFound,
    ServerError,
    ServerUnavailable,
    ToolNotFound,
)
from wire.models import Call, Owner, ServerReport, ServerState

OWNER = Owner("alice", "s1")


def report_of(host: Host, name: str) -> ServerReport:
    [report] = [report for report in host.servers_report() if report.name == name]
    return report


def is_ready(host: Host, *names: str) -> bool:
    states = {report.name: report.state for report in host.servers_report()}
    return all(states.get(name) is ServerState.READY for name in names)


async def relay(host: Host, server: str, tool: str, **arguments: Any) -> str:
    return text_of(json.loads(await host.relay(server, call_of(tool, **arguments), 5)))


async def test_tools_of_a_plugged_server_are_listed_and_called(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    assert host.servers() == ["tools"]
    assert "tools__echo" in [tool.qualified for tool in host.tools()]
    outcome = await host.call(Call("tools__echo", {"text": "hi"}, OWNER))
    assert outcome.result["content"][0]["text"] == "hi"
    assert (outcome.node, outcome.is_error) == ("node-1", False)
    assert await relay(host, "tools", "echo", text="ho") == "ho"


async def test_a_tool_answers_to_the_aliases_that_it_lists(host: Host) -> None:
    meta = {"agentdock/names": ["run"], "agentdock/argument_aliases": {"code": "code_block"}}
    listed = {
        "name": "execute",
        "inputSchema": {"properties": {"code_block": {}}, "required": ["code_block"]},
        "_meta": meta | {"theirs": 1},
    }
    definitions = json.dumps([listed])
    host.apply(profile_of(scripted("--tool-definitions", definitions, "--answer", "execute")))
    await eventually(lambda: is_ready(host, "tools"))
    outcome = await host.call(Call("run", {"code": "1"}, OWNER))
    assert outcome.result["content"][0]["text"] == "{'code_block': '1'}"
    assert host.find("execute").definition == listed


async def test_a_tools_own_failure_is_an_outcome(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    assert (await host.call(Call("fail", {}, OWNER))).is_error


async def test_a_call_carries_its_owner_and_its_time(host: Host) -> None:
    host.apply(profile_of(scripted(timeout_s=10)))
    await eventually(lambda: is_ready(host, "tools"))
    call = Call("meta", {}, OWNER, timeout_s=99, meta={"theirs": 1})
    meta = json.loads((await host.call(call)).result["content"][0]["text"])
    assert meta == {
        "theirs": 1,
        "agentdock/owner": "alice/s1",
        "agentdock/call_id": call.id,
        "agentdock/timeout_s": 9.5,
    }
    unhurried = await host.call(Call("meta", {}, OWNER))
    assert "agentdock/timeout_s" not in json.loads(unhurried.result["content"][0]["text"])


async def test_unknown_tools_servers_and_bad_arguments_are_refused(host: Host) -> None:
    host.apply(profile_of(scripted("--sdk")))
    await eventually(lambda: is_ready(host, "tools"))
    with pytest.raises(ToolNotFound):
        await host.call(Call("ecko", {}, OWNER))
    with pytest.raises(NotFound):
        host.tools("none")
    with pytest.raises(BadArguments):
        await host.call(Call("echo", {"text": 3}, OWNER))
    with pytest.raises(ServerUnavailable):
        await relay(host, "none", "echo")


async def test_a_json_rpc_error_of_a_server_is_a_server_error(host: Host) -> None:
    host.apply(profile_of(scripted("--phantom", "gone")))
    await eventually(lambda: is_ready(host, "tools"))
    assert json.loads(await host.relay("tools", call_of("gone"), 5))["error"]["code"] == -32602
    with pytest.raises(ServerError, match="Unknown tool") as caught:
        await host.call(Call("tools__gone", {}, OWNER))
    assert caught.value.extra["rpc_error"]["code"] == -32602


async def test_a_limit_on_results_cuts_text_at_a_line_end(host: Host) -> None:
    host.apply(profile_of(scripted(max_result_chars=8)))
    await eventually(lambda: is_ready(host, "tools"))
    lines = ["one", "two", "three"]
    reply = json.loads(await host.relay("tools", call_of("lines", lines=lines), 5))
    assert text_of(reply) == "one\ntwo\n[Result truncated]"
    assert reply["result"]["structuredContent"] == {"all": lines}


async def test_an_unchanged_server_keeps_its_process_while_others_come_and_go(host: Host) -> None:
    stays, goes, comes = (scripted(name=name) for name in ("stays", "goes", "comes"))
    host.apply(profile_of(stays, goes))
    await eventually(lambda: is_ready(host, "stays", "goes"))
    pid = report_of(host, "stays").pid
    host.apply(profile_of(scripted(name="stays"), comes))
    await eventually(lambda: is_ready(host, "comes"))
    await eventually(lambda: len(host.servers_report()) == 2)
    assert report_of(host, "stays").pid == pid
    assert host.servers() == ["comes", "stays"]


async def test_a_removed_server_finishes_its_calls_and_takes_no_new_ones(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    pid = report_of(host, "tools").pid
    assert pid is not None
    running = asyncio.create_task(relay(host, "tools", "sleep", seconds=0.3))
    await eventually(lambda: host.in_flight == 1)
    host.apply(profile_of())
    assert report_of(host, "tools").state is ServerState.DRAINING
    assert host.tools() == []
    with pytest.raises(ServerUnavailable):
        await relay(host, "tools", "echo")
    assert await running == "slept"
    await eventually(lambda: host.servers_report() == [])
    assert not leaks.alive(pid)


async def test_a_changed_server_takes_over_before_the_old_one_drains(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    old = report_of(host, "tools").pid
    running = asyncio.create_task(relay(host, "tools", "sleep", seconds=0.5))
    await eventually(lambda: host.in_flight == 1)
    host.apply(profile_of(scripted("--tool", "fresh")))
    while "fresh" not in [tool.name for tool in host.tools()]:
        assert await relay(host, "tools", "echo", text="served") == "served"
    assert report_of(host, "tools").pid != old
    assert await relay(host, "tools", "echo", text="served") == "served"
    assert await running == "slept"


async def test_when_a_changed_entry_does_not_start_the_old_server_stays(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    pid = report_of(host, "tools").pid
    bad = scripted("--crash-on-start")
    host.apply(profile_of(bad))
    await eventually(lambda: host._plugs["tools"].refusal)
    report = report_of(host, "tools")
    assert (report.pid, report.state) == (pid, ServerState.READY)
    assert "changed entry does not start, so the old one stays" in (report.error or "")
    assert await relay(host, "tools", "echo", text="old") == "old"
    host.apply(profile_of(bad, scripted(name="other")))
    assert host._plugs["tools"].coming is None, "a refused entry is not tried at each save"
    host.apply(profile_of(scripted()))
    assert report_of(host, "tools").error is None
    assert report_of(host, "tools").pid == pid


async def test_a_change_taken_back_leaves_the_old_server(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    pid = report_of(host, "tools").pid
    host.apply(profile_of(scripted("--hang-at-start")))
    host.apply(profile_of(scripted()))
    await eventually(lambda: not host._leaving)
    assert (report_of(host, "tools").pid, report_of(host, "tools").error) == (pid, None)


async def test_a_broken_entry_is_reported_and_what_ran_stays(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    pid = report_of(host, "tools").pid
    host.apply(profile_of(tools="`comand` is not a known key.", other="`command` is missing."))
    assert report_of(host, "tools").pid == pid
    assert "`comand`" in (report_of(host, "tools").error or "")
    assert report_of(host, "other").state is ServerState.FAILED
    assert host.problems == ["other: `command` is missing.", "tools: `comand` is not a known key."]
    assert await relay(host, "tools", "echo", text="on") == "on"
    with pytest.raises(ServerUnavailable, match="`command` is missing"):
        await relay(host, "other", "echo")
    host.apply(profile_of(scripted()))
    assert host.problems == []
    assert report_of(host, "tools").pid == pid


async def test_a_broken_file_changes_nothing_but_is_a_problem(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    host.report_fault("profile.toml is not valid TOML")
    assert host.problems == ["profile.toml is not valid TOML"]
    assert is_ready(host, "tools")
    host.apply(profile_of(scripted()))
    assert host.problems == []


async def test_a_hanging_server_delays_no_other(host: Host) -> None:
    host.apply(profile_of(scripted("--hang-at-start", name="bad"), scripted(name="good")))
    await eventually(lambda: is_ready(host, "good"))
    assert report_of(host, "bad").state is ServerState.STARTING
    with pytest.raises(ServerUnavailable, match="starting"):
        await relay(host, "bad", "echo")


async def test_a_disabled_server_is_stopped_and_an_enabled_one_starts(host: Host) -> None:
    host.apply(profile_of(scripted(enabled=False)))
    assert report_of(host, "tools").state is ServerState.STOPPED
    with pytest.raises(ServerUnavailable, match="not enabled"):
        host.restart("tools")
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    host.apply(profile_of(scripted(enabled=False)))
    assert host.tools() == []
    assert report_of(host, "tools").state is ServerState.STOPPED


async def test_a_failed_server_is_tried_again_when_its_entry_changes(host: Host) -> None:
    host.apply(profile_of(scripted("--crash-on-start")))
    await eventually(lambda: report_of(host, "tools").state is ServerState.FAILED)
    host.apply(profile_of(scripted("--crash-on-start")))
    assert report_of(host, "tools").state is ServerState.FAILED
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))


async def test_a_failed_server_is_tried_again_on_request(host: Host, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    host.apply(profile_of(scripted("--starts", str(starts), "--crash-on-start", "3")))
    await eventually(lambda: report_of(host, "tools").state is ServerState.FAILED)
    assert host.tools() == []
    host.restart("tools")
    await eventually(lambda: is_ready(host, "tools"))


async def test_a_restart_on_request_interrupts_no_call(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    old = report_of(host, "tools").pid
    running = asyncio.create_task(relay(host, "tools", "sleep", seconds=0.3))
    await eventually(lambda: host.in_flight == 1)
    host.restart("tools")
    await eventually(lambda: report_of(host, "tools").pid != old)
    assert await running == "slept"
    with pytest.raises(NotFound):
        host.restart("none")


async def test_a_draining_node_finishes_its_calls_and_refuses_new_ones(host: Host) -> None:
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    running = asyncio.create_task(relay(host, "tools", "sleep", seconds=0.2))
    await eventually(lambda: host.in_flight == 1)
    draining = asyncio.create_task(host.drain(5))
    await eventually(lambda: host.draining)
    with pytest.raises(ServerUnavailable, match="draining"):
        await relay(host, "tools", "echo")
    await draining
    assert host.in_flight == 0
    assert await running == "slept"


async def test_closing_ends_every_process_also_those_that_start_or_leave(
    surroundings: Surroundings,
) -> None:
    before = leaks.descendants()
    host = Host("node-1", surroundings, nothing)
    host.apply(profile_of(scripted(name="a"), scripted("--hang-at-start", name="b")))
    await eventually(lambda: is_ready(host, "a"))
    host.apply(profile_of(scripted("--hang-at-start", name="a")))
    host.apply(profile_of(scripted(name="c")))
    await host.close()
    await host.close()
    assert not leaks.left_since(before)


async def test_each_change_is_told(surroundings: Surroundings) -> None:
    changes: list[bool] = []
    host = Host("node-1", surroundings, lambda: changes.append(True))
    host.apply(profile_of(scripted()))
    await eventually(lambda: is_ready(host, "tools"))
    before = len(changes)
    await relay(host, "tools", "echo", text="no change")
    assert len(changes) == before
    await relay(host, "tools", "change", add="more")
    await eventually(lambda: "more" in [tool.name for tool in host.tools()])
    assert len(changes) > before
    await host.close()
