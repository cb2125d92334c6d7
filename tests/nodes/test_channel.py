"""The conversation with one process: many requests at once, and everything that can go wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from nodes import channel as module
from nodes.channel import Channel, Command, Reply
from nodes.handshake import HandshakeFailed, list_tools, shake_hands
from tests.nodes.running import call_of, eventually, nothing, scripted, text_of
from wire.errors import CallTimedOut, Overloaded, ServerCrashed, ServerError, ServerUnavailable

Open = Callable[..., Awaitable[Channel]]


@pytest.fixture
async def open_channel() -> AsyncIterator[Open]:
    """Return a function that opens a channel to a scripted server and shakes hands."""
    opened: list[Channel] = []

    async def start(*options: str, greet: bool = True, **calls: Callable[..., None]) -> Channel:
        on_stderr = calls.get("on_stderr", nothing)
        channel = Channel("tools", on_stderr, calls.get("on_tools_changed", nothing))
        opened.append(channel)
        entry = scripted(*options)
        await channel.open(Command((entry.command, *entry.args), str(entry.cwd), {}))
        if greet:
            await shake_hands(channel, 5)
        return channel

    yield start
    for channel in opened:
        channel.close()
        async with asyncio.timeout(5):
            await channel.closed.wait()


async def call(channel: Channel, tool: str, timeout_s: float = 5, **arguments: Any) -> Reply:
    return await channel.request(b"tools/call", call_of(tool, **arguments), timeout_s)


async def told(channel: Channel, method: str) -> list[dict[str, Any]]:
    """Return what the server was told by notifications of one method."""
    messages = json.loads(text_of(await call(channel, "told")))
    return [message["params"] for message in messages if message.get("method") == method]


async def test_a_response_comes_back_parsed_and_as_it_was(open_channel: Open) -> None:
    channel = await open_channel()
    reply = await call(channel, "echo", text="grüße")
    assert text_of(reply) == "grüße"
    assert json.loads(reply.raw) == reply.message


async def test_many_calls_overlap_and_each_gets_its_own_response(open_channel: Open) -> None:
    channel = await open_channel()
    slow = asyncio.create_task(call(channel, "sleep", seconds=0.3))
    await eventually(lambda: channel.in_flight == 1)
    replies = await asyncio.gather(*(call(channel, "echo", text=str(n)) for n in range(200)))
    assert [text_of(reply) for reply in replies] == [str(n) for n in range(200)]
    assert not slow.done()
    assert text_of(await slow) == "slept"
    assert channel.in_flight == 0


async def test_a_response_of_many_megabytes_arrives_whole(open_channel: Open) -> None:
    channel = await open_channel()
    assert len(text_of(await call(channel, "big", size=5_000_000))) == 5_000_000


async def test_a_json_rpc_error_is_a_response(open_channel: Open) -> None:
    channel = await open_channel()
    assert (await call(channel, "nonsense")).message["error"]["code"] == -32602


async def test_a_call_over_its_time_fails_and_the_server_is_told(open_channel: Open) -> None:
    channel = await open_channel()
    with pytest.raises(CallTimedOut, match=r"within 0\.05 s"):
        await call(channel, "sleep", 0.05, seconds=5)
    assert channel.in_flight == 0
    cancelled = await told(channel, "notifications/cancelled")
    assert [note["requestId"] for note in cancelled] == [2]


async def test_a_cancelled_call_is_cancelled_at_the_server(open_channel: Open) -> None:
    channel = await open_channel()
    task = asyncio.create_task(call(channel, "sleep", seconds=5))
    await eventually(lambda: channel.in_flight == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert channel.in_flight == 0
    assert len(await told(channel, "notifications/cancelled")) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"code": 7}, "exited with code 7"), ({"signal": signal.SIGSEGV}, "was killed by SIGSEGV")],
)
async def test_all_calls_in_flight_fail_at_once_when_the_process_dies(
    open_channel: Open, arguments: dict[str, int], says: str
) -> None:
    channel = await open_channel()
    calls = [asyncio.create_task(call(channel, "sleep", seconds=60)) for _ in range(50)]
    await eventually(lambda: channel.in_flight == 50)
    began = time.monotonic()
    with pytest.raises(ServerCrashed, match=says):
        await call(channel, "die", **arguments)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - began < 1
    assert {type(result) for result in results} == {ServerCrashed}
    with pytest.raises(ServerUnavailable):
        await call(channel, "echo")


async def test_a_grandchild_that_holds_the_pipes_does_not_delay_the_news_of_a_death(
    open_channel: Open,
) -> None:
    channel = await open_channel("--grandchild", "plain")
    began = time.monotonic()
    with pytest.raises(ServerCrashed):
        await call(channel, "die")
    assert time.monotonic() - began < 1
    os.killpg(channel.pid, signal.SIGKILL)


async def test_a_server_that_does_not_read_gets_no_more_than_a_bound(open_channel: Open) -> None:
    channel = await open_channel("--never-read")
    await list_tools(channel, 5)
    block = b'{"x":"' + b"x" * (module.MAX_UNREAD_BYTES // 4) + b'"}'
    calls = [asyncio.create_task(channel.request(b"tools/call", block, 60)) for _ in range(6)]
    await eventually(lambda: channel.in_flight >= 4)
    with pytest.raises(Overloaded):
        await call(channel, "echo")
    for task in calls:
        task.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_rubbish_on_stdout_is_dropped_and_shown(
    open_channel: Open, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await open_channel("--rubbish", "Starting server...")
    assert text_of(await call(channel, "echo", text="still here")) == "still here"
    assert channel.rubbish == [b"Starting server..."]
    assert "print to stderr" in caplog.text


async def test_a_flood_on_stdout_delays_no_other_server(open_channel: Open) -> None:
    await open_channel("--flood-stdout", greet=False)
    quiet = await open_channel()
    began = time.monotonic()
    for _ in range(100):
        await call(quiet, "echo")
    assert time.monotonic() - began < 2


async def test_a_flood_on_stderr_delays_no_server(open_channel: Open) -> None:
    taken: list[int] = []
    noisy = await open_channel("--flood-stderr", on_stderr=lambda data: taken.append(len(data)))
    began = time.monotonic()
    for _ in range(50):
        await call(noisy, "echo")
    assert time.monotonic() - began < 2
    assert sum(taken) < 4 * module.STDERR_PER_S


async def test_a_line_over_the_bound_breaks_the_channel(
    open_channel: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1_000_000)
    channel = await open_channel()
    with pytest.raises(ServerCrashed, match="a line of over 1000000 bytes"):
        await call(channel, "big", size=3_000_000)


@pytest.mark.parametrize(
    ("method", "answer"), [("ping", "result"), ("sampling/createMessage", "error")]
)
async def test_requests_of_the_server_are_answered(
    open_channel: Open, method: str, answer: str
) -> None:
    channel = await open_channel("--ask", method)
    await list_tools(channel, 5)
    messages: list[dict[str, Any]] = []
    for _ in range(100):
        messages = json.loads(text_of(await call(channel, "told")))
        if any(message.get("id") == "ours" for message in messages):
            break
    [ours] = [message for message in messages if message.get("id") == "ours"]
    assert answer in ours


async def test_a_server_says_that_its_tools_changed(open_channel: Open) -> None:
    changes: list[bool] = []
    channel = await open_channel(on_tools_changed=lambda: changes.append(True))
    await call(channel, "change", add="more")
    assert changes == [True]
    assert "more" in [tool["name"] for tool in await list_tools(channel, 5)]


async def test_tools_are_read_page_by_page(open_channel: Open) -> None:
    whole = await open_channel()
    paged = await open_channel("--page-size", "3")
    assert await list_tools(paged, 5) == await list_tools(whole, 5)


async def test_a_repeated_name_and_a_tool_without_one_are_left_out(open_channel: Open) -> None:
    whole = await open_channel()
    odd = await open_channel("--odd-tools")
    assert await list_tools(odd, 5) == await list_tools(whole, 5)


async def test_a_server_of_the_stateless_era_alone_is_spoken_to_in_its_way(
    open_channel: Open,
) -> None:
    channel = await open_channel("--modern-only")
    assert await list_tools(channel, 5)
    reply = await channel.request(
        b"tools/call", b'{"name":"meta","_meta":{"agentdock/call_id":"c1"}}', 5
    )
    meta = json.loads(text_of(reply))
    assert meta["agentdock/call_id"] == "c1"
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"


async def test_a_server_of_neither_era_is_refused(open_channel: Open) -> None:
    channel = await open_channel("--modern-only", greet=False)
    channel.request = _refuse_all  # type: ignore[method-assign]  # no server is that odd
    with pytest.raises(HandshakeFailed, match="does not speak 2026-07-28 either"):
        await shake_hands(channel, 5)


async def _refuse_all(method: bytes, params: bytes, timeout_s: float) -> Reply:
    return Reply({"error": {"code": -32601, "message": "no"}}, b"")


async def test_the_process_starts_with_the_given_environment_and_nothing_else(
    open_channel: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "sings")
    channel = await open_channel()
    environ = json.loads(text_of(await call(channel, "environ")))
    assert environ.keys() <= {"LC_CTYPE"}


@pytest.mark.parametrize(
    "line",
    [
        '{"jsonrpc":"2.0","id":ID,"result":{"v":%s}}' % ("[" * 1100 + "]" * 1100),
        '{"jsonrpc":"2.0","id":ID,"result":{"v":1',
        '{"jsonrpc":"2.0","result":{"v":oops},"id":ID}',
    ],
)
async def test_an_unreadable_answer_fails_its_call_at_once(open_channel: Open, line: str) -> None:
    channel = await open_channel()
    with pytest.raises(ServerError, match="not JSON"):
        await call(channel, "raw", timeout_s=60, line=line)
    assert text_of(await call(channel, "echo", text="still here")) == "still here"


async def test_an_id_that_comes_back_as_text_is_known(open_channel: Open) -> None:
    channel = await open_channel()
    line = '{"jsonrpc":"2.0","id":"ID","result":{"content":[{"type":"text","text":"hi"}]}}'
    assert text_of(await call(channel, "raw", line=line)) == "hi"


async def test_calls_on_a_dying_server_fail_only_as_crashed_or_unavailable(
    open_channel: Open,
) -> None:
    channel = await open_channel()
    failures: list[BaseException] = []

    async def caller() -> None:
        while not channel.exited.is_set() or not failures:
            try:
                await call(channel, "echo", text="x")
            except Exception as error:
                failures.append(error)
                if channel.ended.is_set():
                    return
                await asyncio.sleep(0)  # a refusal is immediate: let the loop notice the death

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(40):
            group.create_task(caller())
        await call(channel, "echo", text="x")
        os.kill(channel.pid, signal.SIGKILL)
    assert failures
    assert {type(error) for error in failures} <= {ServerCrashed, ServerUnavailable}


async def test_two_who_wait_for_idleness_are_both_told(open_channel: Open) -> None:
    channel = await open_channel()
    slow = asyncio.create_task(call(channel, "sleep", seconds=0.2))
    await eventually(lambda: channel.in_flight)
    started = time.monotonic()
    assert all(await asyncio.gather(channel.idle(30), channel.idle(30)))
    assert time.monotonic() - started < 5
    await slow
