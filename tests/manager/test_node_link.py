from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import orjson
import pytest

from manager.node_link import NodeLink, NotAccepted
from tests.fakes import scripted_node
from tests.fakes.scripted_node import Behaviour, Exchange, ScriptedNode, refuse_with
from tests.manager.conftest import SECRET, StartNode
from wire.errors import (
    CallTimedOut,
    Forbidden,
    HostRefused,
    NodeLost,
    NotFound,
    Overloaded,
    PlatformError,
    ServerCrashed,
    ServerError,
    Unauthorized,
)

PARAMS = b'{"name":"echo","arguments":{"n":1}}'


def post(
    link: NodeLink, node: ScriptedNode, timeout_s: float = 5.0, params: bytes = PARAMS
) -> Awaitable[bytes]:
    return link.post(node, "echo", params, "call-1", timeout_s)


async def test_a_call_arrives_as_the_link_protocol_says(
    link: NodeLink, start_node: StartNode
) -> None:
    node = await start_node()
    reply = orjson.loads(await post(link, node, 10.0))
    assert reply["result"]["content"][0]["text"] == '{"n":1}'
    (request,) = node.calls
    assert (request.method, request.path, request.body) == ("POST", "/link/echo", PARAMS)
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-call-id"] == "call-1"
    assert float(request.headers["x-timeout-seconds"]) == pytest.approx(9.5, abs=1)
    assert request.headers["host"] == node.url.removeprefix("http://")


async def test_calls_one_after_another_share_a_connection(
    link: NodeLink, start_node: StartNode
) -> None:
    node = await start_node()
    for _ in range(5):
        await post(link, node)
    assert node.connections == 1


async def test_a_thousand_calls_are_in_flight_at_once(
    link: NodeLink, start_node: StartNode
) -> None:
    opened = asyncio.Event()

    async def wait_for_all(exchange: Exchange) -> None:
        await opened.wait()
        await scripted_node.answer(exchange)

    node = await start_node(behaviour=wait_for_all)
    replies = [asyncio.ensure_future(post(link, node, 30.0)) for _ in range(1000)]
    await node.until(lambda it: len(it.calls) == 1000)
    opened.set()
    assert len(await asyncio.gather(*replies)) == 1000


async def test_a_reply_of_many_pieces_arrives_whole(link: NodeLink, start_node: StartNode) -> None:
    params = orjson.dumps({"arguments": {"text": "x" * 90_000}})
    reply = await post(link, await start_node(), params=params)
    assert b"x" * 90_000 in reply


async def test_a_refused_connection_is_not_accepted(link: NodeLink, start_node: StartNode) -> None:
    node = await start_node()
    await node.stop()
    with pytest.raises(NotAccepted, match="one"):
        await post(link, node)


async def test_a_host_that_is_not_known_is_not_accepted(link: NodeLink) -> None:
    class Elsewhere:
        id = "elsewhere"
        url = "http://no-such-host.invalid:1"

    with pytest.raises(NotAccepted):
        await link.post(Elsewhere(), "echo", PARAMS, "call-1", 5.0)


BREAKS = {
    "closes without a word": scripted_node.break_off,
    "breaks off in the body": scripted_node.half_an_answer,
    "answers rubbish": scripted_node.rubbish,
}


@pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.parametrize("name", BREAKS)
async def test_a_node_that_breaks_after_the_request_is_lost(
    link: NodeLink, start_node: StartNode, name: str, kept: bool
) -> None:
    node = await start_node()
    if kept:
        await post(link, node)
    node.behaviour = BREAKS[name]
    with pytest.raises(NodeLost):
        await post(link, node)
    node.behaviour = scripted_node.answer
    await post(link, node)


async def test_a_node_killed_with_calls_in_flight_fails_them_all(
    link: NodeLink, start_node: StartNode
) -> None:
    node = await start_node(behaviour=scripted_node.hang)
    calls = [asyncio.ensure_future(post(link, node)) for _ in range(20)]
    await node.until(lambda it: len(it.calls) == 20)
    await node.stop()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {NodeLost}


async def test_dropping_a_node_fails_its_calls_at_once_and_no_others(
    link: NodeLink, start_node: StartNode
) -> None:
    silent = await start_node(id="silent", behaviour=scripted_node.hang)
    other = await start_node(id="other")
    call = asyncio.ensure_future(post(link, silent))
    await silent.until(lambda it: len(it.calls) == 1)
    link.drop("silent")
    with pytest.raises(NodeLost, match="silent"):
        await asyncio.wait_for(call, 5)
    await post(link, other)
    await silent.until(lambda it: it.hang_ups == 1)


async def test_a_timeout_hangs_up_on_the_node(link: NodeLink, start_node: StartNode) -> None:
    node = await start_node(behaviour=scripted_node.hang)
    with pytest.raises(CallTimedOut):
        await post(link, node, 0.05)
    await node.until(lambda it: it.hang_ups == 1)


async def test_cancelling_hangs_up_on_the_node(link: NodeLink, start_node: StartNode) -> None:
    node = await start_node(behaviour=scripted_node.hang)
    call = asyncio.ensure_future(post(link, node))
    await node.until(lambda it: len(it.calls) == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await node.until(lambda it: it.hang_ups == 1)


async def test_a_connection_that_died_while_idle_is_never_used(
    link: NodeLink, start_node: StartNode
) -> None:
    node = await start_node()
    await post(link, node)
    await node.stop()
    await node.start()
    await post(link, node)
    assert node.connections == 2


async def test_a_connection_that_the_node_announced_to_close_is_not_used_again(
    link: NodeLink, start_node: StartNode
) -> None:
    node = await start_node(behaviour=scripted_node.answer_and_close)
    await post(link, node)
    await post(link, node)
    assert node.connections == 2


async def test_a_reply_over_the_limit_is_an_error_that_costs_one_connection(
    link: NodeLink, start_node: StartNode
) -> None:
    node = await start_node()
    with pytest.raises(ServerError, match="100000 bytes"):
        await post(link, node, params=orjson.dumps({"arguments": {"text": "x" * 200_000}}))
    await post(link, node)


async def test_a_node_that_moved_is_reached_at_its_new_address(
    link: NodeLink, start_node: StartNode
) -> None:
    old = await start_node()
    new = await start_node()
    await post(link, old)
    await post(link, new)
    assert len(new.calls) == 1
    await old.until(lambda it: it.hang_ups == 1)


@pytest.mark.parametrize(
    "error",
    [ServerCrashed("it died"), CallTimedOut("too slow"), Overloaded("busy", retry_after_s=2)],
    ids=lambda error: error.code,
)
async def test_what_the_node_says_is_raised_as_it_was_said(
    link: NodeLink, start_node: StartNode, error: PlatformError
) -> None:
    node = await start_node(behaviour=refuse_with(error))
    with pytest.raises(type(error)) as raised:
        await post(link, node)
    assert raised.value.problem() == error.problem()


@pytest.mark.parametrize(
    "error",
    [Unauthorized("who?"), Forbidden("no"), HostRefused("not me"), NotFound("no such server")],
    ids=lambda error: error.code,
)
async def test_a_node_that_does_not_know_us_or_the_server_accepted_nothing(
    link: NodeLink, start_node: StartNode, error: PlatformError
) -> None:
    node = await start_node(behaviour=refuse_with(error))
    with pytest.raises(NotAccepted, match=error.detail.rstrip("?")):
        await post(link, node)


@pytest.mark.parametrize(
    ("status", "body"), [(500, b"Internal Server Error"), (502, b"[]"), (404, b"")]
)
async def test_an_error_without_a_problem_document_counts_as_lost(
    link: NodeLink, start_node: StartNode, status: int, body: bytes
) -> None:
    node = await start_node(behaviour=lambda exchange: exchange.reply(status, body))
    with pytest.raises(NodeLost, match=str(status)):
        await post(link, node)


PROBES: dict[str, tuple[Behaviour, bool]] = {
    "answers 200": (lambda exchange: exchange.reply(200, b"{}"), True),
    "answers 503": (lambda exchange: exchange.reply(503, b"{}"), False),
    "hangs": (scripted_node.hang, False),
    "closes without a word": (scripted_node.break_off, False),
    "answers rubbish": (scripted_node.rubbish, False),
}


@pytest.mark.parametrize("name", PROBES)
async def test_a_probe_tells_whether_the_node_answers(
    link: NodeLink, start_node: StartNode, name: str
) -> None:
    behaviour, alive = PROBES[name]
    node = await start_node(alive=behaviour)
    assert await link.probe(node, 0.2 if name == "hangs" else 10.0) is alive
    await node.until(lambda it: bool(it.others))
    assert node.others[0].path == "/livez"


async def test_a_probe_of_nothing_says_no(link: NodeLink, start_node: StartNode) -> None:
    node = await start_node()
    await node.stop()
    assert await link.probe(node, 5.0) is False


async def test_closing_twice_is_harmless_and_frees_every_connection(
    link: NodeLink, start_node: StartNode
) -> None:
    node = await start_node()
    await post(link, node)
    link.close()
    link.close()
    await node.until(lambda it: it.hang_ups == 1)
