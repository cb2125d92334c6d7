from __future__ import annotations

import asyncio
from typing import Any

import pytest

from manager.node_link import NodeLink
from manager.registry import BACK_S
from tests.fakes import scripted_node
from tests.fakes.scripted_node import Exchange, ScriptedNode, refuse_with, respond, server, tool
from tests.manager.conftest import SECRET, Calls, StartNode
from wire import handles
from wire.errors import (
    BadArguments,
    BadRequest,
    CallTimedOut,
    NodeLost,
    NoNode,
    Overloaded,
    PlatformError,
    SandboxLost,
    ServerCrashed,
    ServerError,
    ServerUnavailable,
    ToolNotFound,
    Unauthorized,
)
from wire.models import NodeState, Owner, ServerState


def text(outcome: Any) -> str:
    return str(outcome.result["content"][0]["text"])


async def test_a_call_reaches_the_tool_and_its_answer_comes_back(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node()
    calls.know(node)
    outcome = await calls.call(
        "echo__echo", arguments={"a": 1}, owner=Owner("alice", "s1"), meta={"k": "v"}, id="c1"
    )
    assert text(outcome) == '{"a":1}'
    assert (outcome.node, outcome.tool.name, outcome.is_error) == ("one", "echo", False)
    params = node.calls[0].params
    assert params["name"] == "echo"
    assert params["_meta"]["agentdock/owner"] == "alice/s1"
    assert params["_meta"]["agentdock/call_id"] == "c1"
    assert params["_meta"]["k"] == "v"


async def test_each_inner_layer_has_less_time_than_the_one_outside(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node()
    calls.know(node, server("echo", tool("echo", timeout_s=20.0)))
    for wish, expected in ((10.0, 10.0), (99.0, 20.0)):
        await calls.call(timeout_s=wish)
        request = node.calls[-1]
        outer = float(request.headers["x-timeout-seconds"])
        assert request.params["_meta"]["agentdock/timeout_s"] < outer < expected
        assert outer > expected - 1


async def test_a_tool_server_is_told_no_deadline_that_the_caller_did_not_name(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node()
    calls.know(node, server("echo", tool("echo", timeout_s=20.0)))
    await calls.call(timeout_s=None)
    [request] = node.calls
    assert "agentdock/timeout_s" not in request.params["_meta"]
    assert 19 < float(request.headers["x-timeout-seconds"]) < 20


async def test_two_nodes_share_the_calls_of_a_tool(link: NodeLink, start_node: StartNode) -> None:
    calls = Calls(link, pick=lambda count: 0)
    nodes = [await start_node(id="one"), await start_node(id="two")]
    for node in nodes:
        node.behaviour = scripted_node.hang
        calls.know(node)
    running = [asyncio.ensure_future(calls.call()) for _ in range(20)]
    for node in nodes:
        await node.until(lambda it: len(it.calls) == 10)
        await node.stop()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_tools_own_error_is_an_outcome(calls: Calls, start_node: StartNode) -> None:
    result = {"content": [{"type": "text", "text": "no such page"}], "isError": True}
    calls.know(await start_node(behaviour=respond({"result": result})))
    outcome = await calls.call()
    assert outcome.is_error
    assert outcome.result == result
    assert calls.records[0].outcome == "tool_error"


async def test_a_servers_json_rpc_error_is_passed_on_as_it_came(
    calls: Calls, start_node: StartNode
) -> None:
    error = {"code": -32602, "message": "bad luck", "data": {"x": 1}}
    calls.know(await start_node(behaviour=respond({"error": error})))
    with pytest.raises(ServerError, match="bad luck") as raised:
        await calls.call()
    assert raised.value.extra["rpc_error"] == error


@pytest.mark.parametrize(
    "behaviour",
    [respond({}), respond({"result": "text"}), respond({"result": None}), scripted_node.not_json],
    ids=["neither", "text", "null", "no json"],
)
async def test_an_answer_that_is_no_result_is_a_server_error(
    calls: Calls, start_node: StartNode, behaviour: scripted_node.Behaviour
) -> None:
    calls.know(await start_node(behaviour=behaviour))
    with pytest.raises(ServerError):
        await calls.call()


async def test_bad_arguments_and_unknown_tools_reach_no_node(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    calls.know(node, server("echo", tool("echo", schema=schema)))
    with pytest.raises(BadArguments, match="n"):
        await calls.call(arguments={"n": "one"})
    with pytest.raises(ToolNotFound):
        await calls.call("nothing")
    with pytest.raises(BadRequest):
        await calls.call(timeout_s=0.0)
    with pytest.raises(BadArguments, match="64-bit"):
        await calls.call(arguments={"n": 2**64})
    assert node.connections == 0
    assert [record.outcome for record in calls.records] == [
        "bad_arguments",
        "tool_not_found",
        "bad_request",
        "bad_arguments",
    ]


# How the first node fails, what an ordinary call then gets, what an idempotent one gets, and
# whether the fleet should have a look at the node.
FAULTS: dict[str, tuple[Any, Any, Any, bool]] = {
    "refuses the connection": (None, "two", "two", True),
    "closes without a word": (scripted_node.break_off, NodeLost, "two", True),
    "breaks off in the answer": (scripted_node.half_an_answer, NodeLost, "two", True),
    "answers rubbish": (scripted_node.rubbish, NodeLost, "two", True),
    "does not know the manager": (refuse_with(Unauthorized("who?")), "two", "two", True),
    "fails inside": (refuse_with(PlatformError("?")), PlatformError, PlatformError, False),
    "server not running": (refuse_with(ServerUnavailable("off")), "two", "two", False),
    "too busy": (refuse_with(Overloaded("busy")), "two", "two", False),
    "server crashed": (refuse_with(ServerCrashed("died")), ServerCrashed, ServerCrashed, False),
    "timed out": (refuse_with(CallTimedOut("slow")), CallTimedOut, CallTimedOut, False),
    "json-rpc error": (respond({"error": {"code": 1}}), ServerError, ServerError, False),
}


@pytest.mark.parametrize("idempotent", [False, True], ids=["once only", "idempotent"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_call_is_sent_again_only_if_it_did_not_run_or_may_run_twice(
    calls: Calls, start_node: StartNode, fault: str, idempotent: bool
) -> None:
    behaviour, ordinary, repeatable, suspected = FAULTS[fault]
    one, two = await start_node(id="one"), await start_node(id="two")
    for node in (one, two):
        calls.know(node, server("echo", tool("echo", idempotent=idempotent)))
    if behaviour is None:
        await one.stop()
    else:
        one.behaviour = behaviour
    expected = repeatable if idempotent else ordinary
    if isinstance(expected, str):
        assert (await calls.call()).node == expected
        assert len(two.calls) == 1
    else:
        with pytest.raises(expected):
            await calls.call()
        assert two.calls == []
    assert calls.suspects == (["one"] if suspected else [])
    assert [node.load() for node in calls.registry.nodes()] == [0, 0]


ALONE: dict[str, tuple[Any, type[PlatformError]]] = {
    "refuses the connection": (None, NoNode),
    "closes without a word": (scripted_node.break_off, NodeLost),
    "server not running": (refuse_with(ServerUnavailable("off")), ServerUnavailable),
    "too busy": (refuse_with(Overloaded("busy")), Overloaded),
}


@pytest.mark.parametrize("fault", ALONE)
async def test_without_another_node_the_failure_itself_is_told(
    calls: Calls, start_node: StartNode, fault: str
) -> None:
    behaviour, expected = ALONE[fault]
    node = await start_node(behaviour=behaviour or scripted_node.answer)
    calls.know(node, server("echo", tool("echo", idempotent=True)))
    if behaviour is None:
        await node.stop()
    with pytest.raises(expected):
        await calls.call()


async def test_a_call_that_every_node_refuses_ends_with_no_node(
    calls: Calls, start_node: StartNode
) -> None:
    for name in ("one", "two", "three"):
        node = await start_node(id=name)
        calls.know(node)
        await node.stop()
    with pytest.raises(NoNode) as refused:
        await calls.call()
    assert refused.value.retry_after_s is not None
    assert sorted(calls.suspects) == ["one", "three", "two"]


async def test_the_deadline_spans_all_nodes_that_are_tried(
    calls: Calls, start_node: StartNode
) -> None:
    async def refuse_late(exchange: Exchange) -> None:
        await asyncio.wait([asyncio.ensure_future(exchange.reader.read())], timeout=0.06)
        await refuse_with(Overloaded("busy"))(exchange)

    for name in ("one", "two", "three"):
        calls.know(await start_node(id=name, behaviour=refuse_late))
    with pytest.raises(CallTimedOut):
        await calls.call(timeout_s=0.1)


async def test_a_node_is_not_suspected_for_the_little_time_that_a_caller_gave(
    calls: Calls, start_node: StartNode
) -> None:
    for name in ("one", "two"):
        calls.know(await start_node(id=name))
    with pytest.raises(CallTimedOut):
        await calls.call(timeout_s=1e-6)
    assert calls.suspects == []


async def test_calls_that_ended_while_a_report_travelled_are_not_taken_for_others(
    calls: Calls, start_node: StartNode
) -> None:
    answer_all = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await answer_all.wait()
        await scripted_node.answer(exchange)

    node = await start_node(behaviour=wait)
    calls.know(node)
    running = [asyncio.ensure_future(calls.call()) for _ in range(3)]
    await node.until(lambda it: len(it.calls) == 3)
    report = node.report(in_flight=4)
    answer_all.set()
    await asyncio.gather(*running)
    assert calls.registry.apply(report).load() == 1
    calls.know(node, in_flight=4)
    assert calls.registry.nodes()[0].load() == 4


async def test_a_hanging_tool_times_out_for_the_caller_and_the_node_is_told(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node(behaviour=scripted_node.hang)
    calls.know(node)
    with pytest.raises(CallTimedOut):
        await calls.call(timeout_s=0.05)
    await node.until(lambda it: it.hang_ups == 1)
    assert calls.records[0].outcome == "call_timed_out"


async def test_a_cancelled_call_is_cancelled_on_the_node_and_recorded(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node(behaviour=scripted_node.hang)
    calls.know(node)
    call = asyncio.ensure_future(calls.call())
    await node.until(lambda it: len(it.calls) == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await node.until(lambda it: it.hang_ups == 1)
    assert calls.records[0].outcome == "cancelled"
    assert calls.service.in_flight == 0


async def test_more_calls_than_the_limit_are_refused_before_anything_is_sent(
    link: NodeLink, start_node: StartNode
) -> None:
    calls = Calls(link, max_in_flight=1)
    node = await start_node(behaviour=scripted_node.hang)
    calls.know(node)
    first = asyncio.ensure_future(calls.call())
    await node.until(lambda it: len(it.calls) == 1)
    with pytest.raises(Overloaded):
        await calls.call()
    assert len(node.calls) == 1
    await node.stop()
    with pytest.raises(NodeLost):
        await first
    await node.start()
    node.behaviour = scripted_node.answer
    await calls.call()


class TestHandles:
    """Calls whose arguments carry a handle."""

    async def two(self, calls: Calls, start_node: StartNode) -> tuple[ScriptedNode, ScriptedNode]:
        nodes = await start_node(id="one"), await start_node(id="two")
        for node in nodes:
            calls.know(node, server("echo", tool("echo", affinity="box")))
        return nodes

    def handle(self, node_id: str, secret: str = SECRET) -> dict[str, str]:
        return {"box": f"{handles.prefix(secret, node_id)}.0123456789abcdef"}

    async def test_a_handle_routes_the_call_to_its_node(
        self, calls: Calls, start_node: StartNode
    ) -> None:
        await self.two(calls, start_node)
        for node_id in ("two", "one", "two"):
            assert (await calls.call(arguments=self.handle(node_id))).node == node_id

    @pytest.mark.parametrize("value", ["", "default", "two.forged.0123", 7, None, {}])
    async def test_what_is_no_handle_of_ours_is_routed_like_anything(
        self, calls: Calls, start_node: StartNode, value: object
    ) -> None:
        await self.two(calls, start_node)
        assert (await calls.call(arguments={"box": value})).node == "one"

    async def test_a_handle_signed_with_another_secret_routes_nothing(
        self, calls: Calls, start_node: StartNode
    ) -> None:
        await self.two(calls, start_node)
        arguments = self.handle("two", "somebody else's secret")
        assert (await calls.call(arguments=arguments)).node == "one"

    @pytest.mark.parametrize("how", ["lost", "left"])
    async def test_the_handle_of_a_node_that_is_gone_is_lost_and_not_moved(
        self, calls: Calls, start_node: StartNode, how: str
    ) -> None:
        one, two = await self.two(calls, start_node)
        if how == "lost":
            calls.registry.lose(calls.registry.nodes()[1])
        else:
            calls.registry.forget("two")
            with pytest.raises(NoNode, match="two left a moment ago"):  # or is only restarted
                await calls.call(arguments=self.handle("two"))
            calls.now += BACK_S + 1
        with pytest.raises(SandboxLost, match="two"):
            await calls.call(arguments=self.handle("two"))
        assert one.calls == two.calls == []

    async def test_a_node_that_refuses_a_handles_call_is_not_replaced_by_another(
        self, calls: Calls, start_node: StartNode
    ) -> None:
        one, two = await self.two(calls, start_node)
        await two.stop()
        with pytest.raises(NoNode):
            await calls.call(arguments=self.handle("two"))
        assert one.calls == []

    async def test_the_handle_of_a_draining_node_waits_for_nobody(
        self, calls: Calls, start_node: StartNode
    ) -> None:
        _, two = await self.two(calls, start_node)
        echo = server("echo", tool("echo", affinity="box"))
        calls.registry.apply(two.report(echo, state=NodeState.DRAINING))
        with pytest.raises(NoNode, match="two"):
            await calls.call(arguments=self.handle("two"))


async def test_a_server_that_starts_again_is_not_called(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node()
    calls.know(node, server("echo", tool("echo"), state=ServerState.BACKING_OFF))
    with pytest.raises(ServerUnavailable):
        await calls.call()
    assert node.connections == 0


async def test_calls_go_where_the_preferred_capability_is_and_elsewhere_without_it(
    calls: Calls, start_node: StartNode
) -> None:
    plain, equipped = await start_node(id="one"), await start_node(id="two")
    web = server("web", tool("read", "web", prefers="browser"))
    calls.know(plain, web)
    calls.know(equipped, web, capabilities=["browser"])
    assert {(await calls.call("read")).node for _ in range(8)} == {"two"}
    equipped.behaviour = refuse_with(Overloaded("busy", retry_after_s=1.0))
    assert (await calls.call("read")).node == "one"
    calls.know(equipped, web, state=NodeState.DRAINING, capabilities=["browser"])
    assert (await calls.call("read")).node == "one"
