"""One tool server kept alive: each way to fail, with a real process that fails that way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from nodes.entries import Entry, parse_entry
from nodes.restarts import RestartPolicy
from nodes.supervisor import Supervisor
from nodes.surroundings import Surroundings
from tests import leaks
from tests.nodes.running import (
    Supervise,
    call_of,
    eventually,
    scripted,
    settled,
    surroundings_in,
    text_of,
)
from wire.errors import ServerCrashed, ServerUnavailable
from wire.models import ServerState

KINDS = ("plain", "setsid", "daemon", "envless")
ONE_TRY = RestartPolicy(base_s=0.01, max_s=0.01, give_up=1)


async def call(supervisor: Supervisor, tool: str, **arguments: Any) -> str:
    return text_of(await supervisor.request(call_of(tool, **arguments), 5))


async def failed(supervise: Supervise, entry: Entry, folder: Path, **changes: Any) -> str:
    """Return the error of a server that does not start."""
    around = surroundings_in(folder, **({"policy": ONE_TRY} | changes))
    supervisor = await settled(supervise(entry, around))
    assert supervisor.state is ServerState.FAILED
    return supervisor.error or ""


async def restarted(supervisor: Supervisor, times: int) -> None:
    """Wait until a server is ready after so many restarts."""
    await eventually(lambda: supervisor.restarts == times and supervisor.state is ServerState.READY)


async def test_a_warning_among_a_servers_facts_is_logged(
    supervise: Supervise, caplog: pytest.LogCaptureFixture
) -> None:
    facts = {"isolation": "weak", "warning": "set it right"}
    definition = {"name": "x", "inputSchema": {}, "_meta": {"agentdock/facts": facts}}
    await settled(supervise(scripted("--tool-definitions", json.dumps([definition]))))
    await settled(supervise(scripted(name="plain")))
    warnings = [it.getMessage() for it in caplog.records if it.levelname == "WARNING"]
    assert warnings == ["tool server tools: set it right"]


async def test_a_server_becomes_ready_with_its_tools(supervise: Supervise) -> None:
    entry = scripted(timeout_s=7, idempotent=frozenset({"echo"}), affinity="box")
    supervisor = await settled(supervise(entry))
    assert supervisor.state is ServerState.READY
    tools = {tool.name: tool for tool in supervisor.tools}
    assert tools["echo"].idempotent
    assert not tools["mark"].idempotent
    assert (tools["echo"].timeout_s, tools["echo"].affinity) == (7, "box")
    assert await call(supervisor, "echo", text="hi") == "hi"


async def test_a_server_on_the_official_sdk_works_as_well(supervise: Supervise) -> None:
    supervisor = await settled(supervise(scripted("--sdk")))
    assert await call(supervisor, "echo", text="hi") == "hi"


async def test_a_crashed_server_is_restarted(supervise: Supervise) -> None:
    supervisor = await settled(supervise(scripted()))
    first = supervisor.pid
    with pytest.raises(ServerCrashed):
        await call(supervisor, "die")
    await restarted(supervisor, 1)
    assert supervisor.pid != first
    assert supervisor.error is None
    assert await call(supervisor, "echo", text="back") == "back"


async def test_between_a_crash_and_the_restart_calls_are_refused_with_a_hint(
    supervise: Supervise, tmp_path: Path
) -> None:
    around = surroundings_in(tmp_path, policy=RestartPolicy(base_s=30, max_s=30))
    supervisor = await settled(supervise(scripted(), around))
    with pytest.raises(ServerCrashed):
        await call(supervisor, "die", say="out of cheese")
    await eventually(lambda: supervisor.error)
    with pytest.raises(ServerUnavailable, match="backing off; GET /v1/servers tells why") as caught:
        await call(supervisor, "echo")
    assert 0 < (caught.value.retry_after_s or 0) <= 30
    assert supervisor.state is ServerState.BACKING_OFF
    assert "out of cheese" in (supervisor.error or "")
    assert supervisor.offers_tools


async def test_a_server_that_recovers_within_its_tries_becomes_ready(
    supervise: Supervise, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    entry = scripted("--starts", str(starts), "--crash-on-start", "2")
    supervisor = await settled(supervise(entry))
    assert supervisor.state is ServerState.READY
    assert len(starts.read_text().split()) == 3


async def test_a_server_that_dies_at_each_start_is_given_up(
    supervise: Supervise, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    entry = scripted("--starts", str(starts), "--crash-on-start", "--say", "no licence")
    supervisor = await settled(supervise(entry))
    assert supervisor.state is ServerState.FAILED
    assert len(starts.read_text().split()) == 3
    assert "exited with code 3 before it was ready" in (supervisor.error or "")
    assert "no licence" in (supervisor.error or "")
    with pytest.raises(ServerUnavailable, match="POST /v1/servers/tools/restart"):
        await call(supervisor, "echo")


async def test_a_server_that_hangs_at_start_is_ended_after_the_time_for_it(
    supervise: Supervise, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    entry = scripted("--starts", str(starts), "--hang-at-start", "--say", "loading")
    error = await failed(supervise, entry, tmp_path, start_timeout_s=0.3, stop_grace_s=0.1)
    assert "did not complete the MCP handshake within 0.3 s" in error
    assert "loading" in error
    assert not leaks.alive(int(starts.read_text()))


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("uvx", "Install uv"),
        ("npx", "Install Node.js"),
        ("no-such-program", "'no-such-program' was not found"),
    ],
)
async def test_a_missing_command_is_named_with_its_cure(
    supervise: Supervise, tmp_path: Path, command: str, says: str
) -> None:
    entry = scripted(command=command)
    assert says in await failed(supervise, entry, tmp_path, base_env={"PATH": "/nowhere"})


async def test_a_missing_folder_is_named(supervise: Supervise, tmp_path: Path) -> None:
    entry = scripted(cwd=tmp_path / "none")
    assert "correct `cwd`" in await failed(supervise, entry, tmp_path)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("from mcp.server.fastmcp import FastMCP", '"--with", "mcp<2", "python"'),
        ("import no_such_thing.at_all", '"--with", "no_such_thing"'),
    ],
)
async def test_a_failed_import_is_explained_with_its_cure(
    supervise: Supervise, tmp_path: Path, code: str, says: str
) -> None:
    error = await failed(supervise, scripted(command="python", args=("-c", code)), tmp_path)
    assert says in error
    assert 'command = "uvx"' in error


async def test_a_program_that_is_no_mcp_server_is_shown_what_it_printed(
    supervise: Supervise, tmp_path: Path
) -> None:
    error = await failed(supervise, scripted(command="echo", args=("hello",)), tmp_path)
    assert "It printed 'hello' to stdout, which belongs to MCP" in error


async def test_a_server_that_ignores_every_ending_is_killed(
    supervise: Supervise, tmp_path: Path
) -> None:
    around = surroundings_in(tmp_path, stop_grace_s=0.1)
    supervisor = await settled(supervise(scripted("--ignore-endings"), around))
    pid = supervisor.pid
    assert pid is not None
    await supervisor.stop()
    assert not leaks.alive(pid)
    assert supervisor.state is ServerState.STOPPED


async def test_nothing_that_a_server_started_outlives_it(supervise: Supervise) -> None:
    before = leaks.descendants()
    kinds = [part for kind in KINDS for part in ("--grandchild", kind)]
    supervisor = await settled(supervise(scripted(*kinds)))
    assert len(leaks.descendants() - before) == 1 + len(KINDS)
    await supervisor.stop()
    assert not leaks.left_since(before)


async def test_what_a_crashed_server_left_is_gone_before_the_next_start(
    supervise: Supervise,
) -> None:
    before = leaks.descendants()
    entry = scripted("--grandchild", "daemon", "--grandchild", "plain")
    supervisor = await settled(supervise(entry))
    for restarts in (1, 2):
        with pytest.raises(ServerCrashed):
            await call(supervisor, "die")
        await restarted(supervisor, restarts)
    assert len([pid for pid in leaks.descendants() - before if leaks.alive(pid)]) == 3


async def test_the_process_is_ended_though_whoever_stops_it_is_cancelled(
    supervise: Supervise, tmp_path: Path
) -> None:
    around = surroundings_in(tmp_path, stop_grace_s=0.2)
    supervisor = await settled(supervise(scripted("--ignore-endings"), around))
    pid = supervisor.pid
    assert pid is not None
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    await eventually(lambda: not leaks.alive(pid))


async def test_stopping_during_the_start_leaves_nothing(supervise: Supervise) -> None:
    before = leaks.descendants()
    supervisor = supervise(scripted("--hang-at-start"))
    await eventually(lambda: leaks.descendants() - before)
    await supervisor.stop()
    await supervisor.stop()
    assert not leaks.left_since(before)


async def test_draining_waits_for_running_calls_and_does_not_restart(
    supervise: Supervise,
) -> None:
    supervisor = await settled(supervise(scripted()))
    running = asyncio.create_task(call(supervisor, "sleep", seconds=0.2))
    await eventually(lambda: supervisor.in_flight == 1)
    await supervisor.drain(5)
    assert await running == "slept"
    with pytest.raises(ServerUnavailable, match="draining"):
        await call(supervisor, "echo")


async def test_calls_that_outlast_the_drain_fail_when_the_server_is_stopped(
    supervise: Supervise,
) -> None:
    supervisor = await settled(supervise(scripted()))
    running = asyncio.create_task(call(supervisor, "sleep", seconds=60))
    await eventually(lambda: supervisor.in_flight == 1)
    await supervisor.drain(0.01)
    await supervisor.stop()
    with pytest.raises(ServerCrashed, match="was stopped"):
        await running


async def test_a_changed_list_of_tools_is_read_again(supervise: Supervise) -> None:
    supervisor = await settled(supervise(scripted()))
    await call(supervisor, "change", add="brand-new")
    await eventually(lambda: "brand-new" in [tool.name for tool in supervisor.tools])


async def test_a_servers_environment_holds_no_more_than_its_entry_names(
    supervise: Supervise, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CANARY", "sings")
    monkeypatch.setenv("AGENTDOCK_SECRET", "sings too")
    supervisor = await settled(supervise(scripted(env={"MINE": "yes"}), surroundings_in(tmp_path)))
    environ = json.loads(await call(supervisor, "environ"))
    assert environ["MINE"] == "yes"
    assert environ["PATH"].split(":")[:-1] == os.environ["PATH"].split(":")
    assert "sings" not in json.dumps(environ)


async def test_its_stderr_is_in_its_log_file(
    supervise: Supervise, surroundings: Surroundings
) -> None:
    await settled(supervise(scripted("--say", "good morning")))
    file = surroundings.logs / "node-1-tools.log"
    await eventually(lambda: file.read_text() == "good morning\n")


async def test_a_flood_on_stderr_neither_fills_the_disk_nor_stops_the_server(
    supervise: Supervise, surroundings: Surroundings
) -> None:
    supervisor = await settled(supervise(scripted("--flood-stderr")))
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        assert await call(supervisor, "echo", text="x") == "x"
    sizes = [file.stat().st_size for file in surroundings.logs.iterdir()]
    assert sum(sizes) <= 2 * 5 * 1024 * 1024


async def test_a_process_killed_from_outside_is_restarted(supervise: Supervise) -> None:
    supervisor = await settled(supervise(scripted()))
    assert supervisor.pid is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    await restarted(supervisor, 1)


async def test_a_child_inherits_no_descriptor_but_its_three_streams(supervise: Supervise) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    supervisor = await settled(supervise(scripted()))
    given = json.loads(await call(supervisor, "descriptors"))
    os.close(read_end)
    os.close(write_end)
    assert given == ["0", "1", "2"]


async def test_an_error_never_quotes_a_key_of_the_environment(
    supervise: Supervise, tmp_path: Path
) -> None:
    raw = {
        "command": "python",
        "args": ["-c", "import sys, no_such_thing  # ${SOME_API_KEY}", "${SOME_API_KEY}"],
        "env": {"TOKEN": "${OTHER}"},
    }
    environ = {"SOME_API_KEY": "sk-canary-123", "OTHER": "tok-canary-456"}
    error = await failed(supervise, parse_entry("tools", raw, environ), tmp_path)
    assert "no_such_thing" in error
    assert "${SOME_API_KEY}" in error
    assert "canary" not in error
    shown = {"command": "sh", "args": ["-c", "echo $TOKEN >&2; exit 1"], "env": raw["env"]}
    error = await failed(supervise, parse_entry("tools", shown, environ), tmp_path)
    assert "It last said: '***'" in error


async def test_tools_that_would_break_the_list_are_left_out_and_the_rest_stays(
    supervise: Supervise,
) -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"properties": {"x": deep}}
    tools = [
        {"name": "plain"},
        {"name": "deep", "inputSchema": deep},
        {"name": "wrong", "inputSchema": {}, "description": 7},
    ]
    file = "--tool-definitions"
    supervisor = await settled(supervise(scripted(file, json.dumps(tools))))
    listed = {tool.name: tool for tool in supervisor.tools}
    assert listed["plain"].definition["inputSchema"] == {"type": "object"}
    assert {"echo", "plain"} <= set(listed)
    assert not {"deep", "wrong"} & set(listed)


async def test_a_server_that_drains_is_not_started_again(
    supervise: Supervise, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    around = surroundings_in(tmp_path, policy=RestartPolicy(base_s=0.3, max_s=0.3))
    supervisor = await settled(supervise(scripted("--starts", str(starts)), around))
    with pytest.raises(ServerCrashed):
        await call(supervisor, "die")
    # With the reason known, the wait for the next start has begun.
    await eventually(lambda: supervisor.error and supervisor.state is ServerState.BACKING_OFF)
    supervisor.refuse_calls()
    await eventually(lambda: supervisor._keeping is not None and supervisor._keeping.done())
    assert len(starts.read_text().splitlines()) == 1
    assert supervisor.state is ServerState.DRAINING


async def test_a_server_that_hangs_at_start_is_not_waited_for_when_it_leaves(
    supervise: Supervise, tmp_path: Path
) -> None:
    supervisor = supervise(scripted("--hang-at-start"), surroundings_in(tmp_path))
    await eventually(lambda: supervisor.pid)
    async with asyncio.timeout(2):
        await supervisor.drain(60)
    assert supervisor.in_flight == 0
