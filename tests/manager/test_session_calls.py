"""Calls to session-scoped tool servers: an owner's process is on one node, and nowhere else."""

from __future__ import annotations

import pytest

from manager.node_link import NodeLink
from tests.fakes.scripted_node import ScriptedNode, refuse_with, server, tool
from tests.manager.conftest import Calls, StartNode
from wire.errors import NoNode, Overloaded, ServerUnavailable
from wire.link import owner_in, owner_value
from wire.models import Owner, Scope

SCOPED = server("echo", tool("echo", scope=Scope.SESSION, idempotent=True))


async def two_nodes(calls: Calls, start_node: StartNode) -> dict[str, ScriptedNode]:
    nodes = {name: await start_node(id=name) for name in ("one", "two")}
    for node in nodes.values():
        calls.know(node, SCOPED)
    return nodes


def owners_header(node: ScriptedNode) -> list[str]:
    return [call.headers["x-agentdock-owner"] for call in node.calls]


async def test_the_calls_of_an_owner_reach_one_node_which_is_told_whose_they_are(
    calls: Calls, start_node: StartNode
) -> None:
    nodes = await two_nodes(calls, start_node)
    for number in range(20):
        owner = Owner("alice", f"s{number}")
        places = {(await calls.call(owner=owner)).node for _ in range(3)}
        assert len(places) == 1
        assert owners_header(nodes[places.pop()])[-1] == f"alice/s{number}"
    assert all(node.calls for node in nodes.values())


async def test_a_call_without_a_session_belongs_to_the_key_alone(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node()
    calls.know(node, SCOPED)
    await calls.call(owner=Owner("alice"))
    assert owners_header(node) == ["alice"]


async def test_a_shared_tool_server_is_not_told_in_a_header(
    calls: Calls, start_node: StartNode
) -> None:
    node = await start_node()
    calls.know(node)
    await calls.call()
    assert "x-agentdock-owner" not in node.calls[0].headers


@pytest.mark.parametrize("error", [Overloaded("full"), ServerUnavailable("starting")])
async def test_a_session_is_never_looked_for_on_another_node(
    calls: Calls, start_node: StartNode, error: Overloaded | ServerUnavailable
) -> None:
    nodes = await two_nodes(calls, start_node)
    for node in nodes.values():
        node.behaviour = refuse_with(error)
    with pytest.raises(type(error)):
        await calls.call()
    assert sum(len(node.calls) for node in nodes.values()) == 1


async def test_a_session_stays_with_its_node_while_that_is_only_suspected(
    link: NodeLink, start_node: StartNode
) -> None:
    calls = Calls(link)
    nodes = await two_nodes(calls, start_node)
    home = (await calls.call()).node
    await nodes[home].stop()
    for _ in range(3):
        with pytest.raises(NoNode):
            await calls.call()
    other = next(node for name, node in nodes.items() if name != home)
    assert other.calls == []
    calls.registry.forget(home)
    assert (await calls.call()).node == other.id


@pytest.mark.parametrize("owner", ["k", "k/s.1_x-y", "k/mcp:\r\nx-evil: 1", "k/ü %41"])
def test_an_owner_crosses_the_link_as_one_header_whatever_it_holds(owner: str) -> None:
    value = owner_value(owner)
    assert value.isascii()
    assert not set(value) & set(b"\r\n ")
    assert owner_in(value) == owner
