"""What is recorded of a call."""

from __future__ import annotations

import pytest

from manager.node_link import NodeLink
from tests.fakes.scripted_node import server, tool
from tests.manager.conftest import Calls, StartNode
from wire.errors import ServerUnavailable, ToolNotFound
from wire.models import Owner, ServerState


@pytest.mark.parametrize("bodies", [False, True])
async def test_a_record_holds_bodies_only_if_asked_for(
    link: NodeLink, start_node: StartNode, bodies: bool
) -> None:
    calls = Calls(link, record_bodies=bodies)
    calls.know(await start_node())
    outcome = await calls.call(arguments={"a": 1}, owner=Owner("alice", "s1"), id="c1")
    (record,) = calls.records
    assert (record.id, record.tool, record.server, record.node) == ("c1", "echo", "echo", "one")
    assert (record.owner, record.outcome) == ("alice/s1", "ok")
    assert record.request_bytes > 0
    assert record.result_bytes > 0
    assert record.duration_ms > 0
    assert record.arguments == ({"a": 1} if bodies else None)
    assert record.result == (outcome.result if bodies else None)


async def test_the_recorded_name_of_an_unknown_tool_is_bounded(calls: Calls) -> None:
    with pytest.raises(ToolNotFound):
        await calls.call("x" * 10_000)
    assert len(calls.records[0].tool) < 200


async def test_a_call_that_no_node_could_take_is_recorded_under_its_tool(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node()
    calls.know(node)
    state = ServerState.BACKING_OFF
    calls.registry.apply(node.report(server("echo", tool("echo"), state=state)))
    with pytest.raises(ServerUnavailable):
        await calls.call("echo__echo")
    (record,) = calls.records
    assert (record.tool, record.server, record.node) == ("echo", "echo", None)
    assert record.outcome == "server_unavailable"
