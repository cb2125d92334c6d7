"""Remote tool servers, over real HTTP: all that was said arrives, and nothing of ours gets out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from nodes.channel import Reply
from nodes.entries import Entry, Place, parse_entry
from nodes.host import Host
from nodes.restarts import RestartPolicy
from nodes.supervisor import Supervisor
from nodes.surroundings import Surroundings
from tests.fakes.scripted_remote import ERROR, ODD, ScriptedRemote
from tests.nodes.running import (
    Supervise,
    call_of,
    eventually,
    profile_of,
    scripted,
    settled,
    surroundings_in,
    text_of,
)
from tests.ports import free_ports
from tests.serving import serve
from wire.entry import Transport
from wire.errors import CallTimedOut, PlatformError, ServerCrashed, ServerError, ServerUnavailable
from wire.log import configure
from wire.models import Call, Owner, ServerState

TOKEN = "a-token-nobody-may-see"
ERAS = ["stateless", "handshake", "sse"]
every_era = pytest.mark.parametrize("era", ERAS)


def far(url: str, era: str = "stateless", name: str = "far", **fields: Any) -> Entry:
    """Return the entry of a remote server."""
    door, transport = ("/sse", Transport.SSE) if era == "sse" else ("/mcp", Transport.HTTP)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return Entry(name=name, place=Place(f"{url}{door}?key={TOKEN}", headers, transport), **fields)


@asynccontextmanager
async def connected(
    remote: ScriptedRemote, surroundings: Surroundings, **fields: Any
) -> AsyncIterator[Supervisor]:
    """Serve a remote and connect to it; it is left before it ends."""
    async with serve(remote) as url:
        supervisor = Supervisor(far(url, remote.era, **fields), surroundings, lambda: None)
        supervisor.start()
        try:
            yield await settled(supervisor)
        finally:
            await supervisor.stop()


async def call(supervisor: Supervisor, tool: str, timeout_s: float = 5, **args: Any) -> Reply:
    return await supervisor.request(call_of(tool, **args), timeout_s)


@every_era
@pytest.mark.parametrize("streams", [False, True])
async def test_a_remote_of_each_era_is_listed_and_called(
    surroundings: Surroundings, era: str, streams: bool
) -> None:
    remote = ScriptedRemote(era=era, streams=streams)
    async with connected(remote, surroundings, timeout_s=7) as supervisor:
        report = supervisor.report()
        assert (report.state, report.pid, report.error) == (ServerState.READY, None, None)
        assert [tool.name for tool in report.tools] == remote.tools
        assert text_of(await call(supervisor, "echo", a=1)) == '{"a": 1}'
    assert all(seen.headers["authorization"] == f"Bearer {TOKEN}" for seen in remote.seen)


@pytest.mark.parametrize("door", ["streamable", "sse"])
async def test_a_remote_on_the_official_sdk_works_as_well(supervise: Supervise, door: str) -> None:
    server = MCPServer("far")

    @server.tool()
    def double(n: int) -> int:
        return 2 * n

    app = server.sse_app() if door == "sse" else server.streamable_http_app()
    async with serve(app) as url:
        supervisor = await settled(supervise(far(url, door)))
        assert supervisor.error is None
        reply = await call(supervisor, "double", n=21)
        await supervisor.stop()
    assert reply.message["result"]["structuredContent"] == {"result": 42}


@every_era
@pytest.mark.parametrize("streams", [False, True])
async def test_results_and_errors_are_handed_on_as_they_came(
    surroundings: Surroundings, era: str, streams: bool
) -> None:
    async with connected(ScriptedRemote(era=era, streams=streams), surroundings) as supervisor:
        odd = await call(supervisor, "odd")
        error = await call(supervisor, "error")
    assert json.loads(odd.raw)["result"] == ODD
    assert json.loads(error.raw)["error"] == ERROR


@every_era
async def test_nothing_of_the_platforms_own_reaches_a_remote(
    surroundings: Surroundings, era: str
) -> None:
    remote = ScriptedRemote(era=era)
    async with serve(remote) as url:
        host = Host("node-1", surroundings, lambda: None)
        host.apply(profile_of(far(url, era)))
        await eventually(host.tools)
        owner = Owner("alice", "rollout-77")
        await host.call(Call("far__echo", {"a": 1}, owner, meta={"theirs": 1}))
        await host.call(Call("far__echo", {"a": 1}, owner))
        await host.close()
    first, second = remote.calls()
    assert first["_meta"]["theirs"] == 1
    assert all(not key.startswith("agentdock/") for key in second.get("_meta", {}))
    for secret in ("agentdock/", "alice", "rollout-77", surroundings.run, "X-Agentdock"):
        assert secret not in remote.text()


async def test_an_entry_cannot_send_the_platforms_secret_to_a_remote() -> None:
    environ = {"AGENTDOCK_SECRET": "s" * 20}
    for raw in (
        {"url": "http://x", "headers": {"A": "${AGENTDOCK_SECRET}"}},
        {"url": "http://x/${AGENTDOCK_SECRET}"},
    ):
        with pytest.raises(Exception, match="never given"):
            parse_entry("far", raw, environ)


@every_era
async def test_the_tools_are_listed_again_when_the_remote_says_that_they_changed(
    surroundings: Surroundings, era: str
) -> None:
    remote = ScriptedRemote(era=era)
    async with connected(remote, surroundings) as supervisor:
        await eventually(lambda: remote.listeners)
        remote.tools.append("fresh")
        remote.say("notifications/tools/list_changed")
        await eventually(lambda: "fresh" in [tool.name for tool in supervisor.tools])


@every_era
async def test_a_call_that_takes_too_long_fails_and_the_remote_learns_of_it(
    surroundings: Surroundings, era: str
) -> None:
    remote = ScriptedRemote(era=era)
    async with connected(remote, surroundings) as supervisor:
        with pytest.raises(CallTimedOut):
            await call(supervisor, "wait", 0.1)
        await eventually(lambda: was_told(remote))
        remote.released.set()
        assert supervisor.in_flight == 0
        assert text_of(await call(supervisor, "echo", a=1)) == '{"a": 1}'


@every_era
async def test_a_call_that_is_given_up_is_cancelled_at_the_remote(
    surroundings: Surroundings, era: str
) -> None:
    remote = ScriptedRemote(era=era)
    async with connected(remote, surroundings) as supervisor:
        running = asyncio.create_task(call(supervisor, "wait"))
        await eventually(remote.calls)
        running.cancel()
        await eventually(lambda: was_told(remote))
        remote.released.set()
        assert running.cancelled()


def was_told(remote: ScriptedRemote) -> bool:
    """Whether a remote learned, in the way of its era, that a call is not wanted any more."""
    cancelled = [m for m in remote.told if m.get("method") == "notifications/cancelled"]
    return bool(cancelled) if remote.era != "stateless" else remote.dropped > 0


@pytest.mark.parametrize("era", ["stateless", "handshake"])
async def test_a_connection_that_breaks_in_mid_call_is_a_crash_and_others_go_on(
    surroundings: Surroundings, era: str
) -> None:
    remote = ScriptedRemote(era=era)
    async with connected(remote, surroundings) as supervisor:
        running = asyncio.create_task(call(supervisor, "wait"))
        await eventually(remote.calls)
        with pytest.raises(ServerCrashed):
            await call(supervisor, "break")
        remote.released.set()
        assert text_of(await running) == "{}"
        assert supervisor.state is ServerState.READY


@every_era
async def test_a_remote_that_goes_away_fails_its_calls_and_is_back_when_it_returns(
    supervise: Supervise, era: str
) -> None:
    [port] = free_ports(1)
    first = ScriptedRemote(era=era)
    async with serve(first, port) as url:
        supervisor = await settled(supervise(far(url, era)))
        running = asyncio.create_task(call(supervisor, "wait"))
        await eventually(first.calls)
    with pytest.raises(PlatformError) as caught:
        await running
    assert caught.value.code == "server_crashed"
    await eventually(lambda: supervisor.state is ServerState.BACKING_OFF)
    with pytest.raises(ServerUnavailable) as refused:
        await call(supervisor, "echo")
    assert (refused.value.retry_after_s or 0) > 0
    assert supervisor.offers_tools
    second = ScriptedRemote(era=era, tools=["echo", "fresh"])
    async with serve(second, port):
        await eventually(lambda: supervisor.state is ServerState.READY)
        assert [tool.name for tool in supervisor.tools] == ["echo", "fresh"]
        assert text_of(await call(supervisor, "echo", a=1)) == '{"a": 1}'
        assert supervisor.restarts > 0
        await supervisor.stop()


async def test_a_remote_that_forgot_the_session_is_greeted_again(
    surroundings: Surroundings,
) -> None:
    remote = ScriptedRemote(era="handshake")
    async with connected(remote, surroundings) as supervisor:
        remote.forgets = True
        with pytest.raises(ServerUnavailable, match="forgotten our session"):
            await call(supervisor, "echo")
        await eventually(lambda: supervisor.restarts == 1)
        await eventually(lambda: supervisor.state is ServerState.READY)
        await call(supervisor, "echo")


async def test_a_stream_that_breaks_is_resumed_where_the_remote_can(
    surroundings: Surroundings,
) -> None:
    remote = ScriptedRemote(era="handshake", resumable=True)
    async with connected(remote, surroundings) as supervisor:
        assert text_of(await call(supervisor, "echo", a=1)) == '{"a": 1}'
    assert len(remote.calls()) == 1


@every_era
async def test_a_remote_that_refuses_us_is_given_up_and_the_error_says_what_to_do(
    surroundings: Surroundings, era: str
) -> None:
    async with connected(ScriptedRemote(era=era, status=401), surroundings) as supervisor:
        assert supervisor.state is ServerState.FAILED
        assert "HTTP 401" in (supervisor.error or "")
        assert "Check `headers`" in (supervisor.error or "")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, ServerError), (503, ServerUnavailable), (502, ServerCrashed), (302, ServerError)],
)
async def test_a_status_without_a_response_becomes_the_platforms_error(
    surroundings: Surroundings, status: int, kind: type[PlatformError]
) -> None:
    remote = ScriptedRemote()
    async with connected(remote, surroundings) as supervisor:
        remote.status = status
        with pytest.raises(kind, match=f"HTTP {status}"):
            await call(supervisor, "echo")


async def test_a_remote_that_is_down_is_tried_for_ever_and_delays_no_other(
    surroundings: Surroundings,
) -> None:
    [port] = free_ports(1)
    host = Host("node-1", surroundings, lambda: None)
    down = far(f"http://127.0.0.1:{port}", name="down")
    host.apply(profile_of(down, scripted(name="good")))
    await eventually(lambda: [tool.server for tool in host.tools()])
    await eventually(lambda: restarts_of(host, "down") > surroundings.policy.give_up)
    states = {report.name: report.state for report in host.servers_report()}
    assert states["good"] is ServerState.READY
    assert states["down"] in (ServerState.BACKING_OFF, ServerState.STARTING)
    async with serve(ScriptedRemote(), port):
        await eventually(lambda: "down__echo" in [tool.qualified for tool in host.tools()])
        await host.close()


def restarts_of(host: Host, name: str) -> int:
    [report] = [report for report in host.servers_report() if report.name == name]
    return report.restarts


@every_era
async def test_a_token_is_in_no_log_no_error_and_no_report(
    surroundings: Surroundings, capsys: pytest.CaptureFixture[str], era: str
) -> None:
    configure("DEBUG", "text", "node of this test")
    texts: list[str] = []
    remote = ScriptedRemote(era=era)
    async with connected(remote, surroundings) as supervisor:
        for tool in ("break", "wait") if era != "sse" else ("wait",):
            with pytest.raises(PlatformError) as caught:
                await call(supervisor, tool, 0.1)
            texts.append(json.dumps(caught.value.problem()))
        remote.released.set()
        remote.status = 403
        with pytest.raises(PlatformError) as caught:
            await call(supervisor, "echo")
        texts += [json.dumps(caught.value.problem()), supervisor.report().model_dump_json()]
        texts += [repr(supervisor.entry), repr(vars(supervisor))]
    async with connected(remote, surroundings) as refused:
        texts += [refused.report().model_dump_json(), str(refused.error)]
    logged = capsys.readouterr().err
    assert "Check `headers`" in logged
    assert TOKEN not in "\n".join([*texts, logged])


@every_era
async def test_leaving_a_remote_ends_what_is_in_flight(
    surroundings: Surroundings, era: str
) -> None:
    remote = ScriptedRemote(era=era)
    async with connected(remote, surroundings) as supervisor:
        running = asyncio.create_task(call(supervisor, "wait"))
        await eventually(remote.calls)
        await supervisor.stop()
        with pytest.raises(ServerCrashed):
            await running
        remote.released.set()
    if era == "handshake":
        assert "DELETE" in [seen.method for seen in remote.seen]


async def test_a_remote_that_is_silent_at_the_start_fails_in_time(
    supervise: Supervise, tmp_path: Any
) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] not in ("http.disconnect", "lifespan.shutdown"):
            if scope["type"] == "lifespan":
                await send({"type": "lifespan.startup.complete"})
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.shutdown.complete"})

    around = surroundings_in(
        tmp_path, start_timeout_s=0.2, policy=RestartPolicy(base_s=30, max_s=30)
    )
    async with serve(silent) as url:
        supervisor = supervise(far(url), around)
        await eventually(lambda: supervisor.error)
        assert "did not complete the MCP handshake" in (supervisor.error or "")
        await supervisor.stop()
