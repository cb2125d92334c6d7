"""Scripted nodes, and a call service over a real link to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from manager.calls import CallService
from manager.node_link import NodeLink
from manager.registry import NodeRecord, Registry
from manager.stores.calls import CallRecord
from tests.fakes.scripted_node import ScriptedNode
from wire.models import Call, Outcome, Owner, ServerReport

SECRET = "a secret of these tests"

StartNode = Callable[..., Awaitable[ScriptedNode]]


@pytest.fixture
async def start_node() -> AsyncIterator[StartNode]:
    nodes: list[ScriptedNode] = []

    async def start(**fields: Any) -> ScriptedNode:
        node = ScriptedNode(**fields)
        nodes.append(node)
        return await node.start()

    yield start
    for node in nodes:
        await node.stop()


@pytest.fixture
def link() -> Iterator[NodeLink]:
    made = NodeLink(SECRET, max_reply=100_000, connect_s=1.0)
    yield made
    made.close()


class Calls:
    """A call service with what it recorded and whom it suspected."""

    def __init__(self, link: NodeLink, **options: Any) -> None:
        self.now = 0.0
        self.registry = Registry(clock=lambda: self.now)
        self.records: list[CallRecord] = []
        self.suspects: list[str] = []
        given: dict[str, Any] = {"max_in_flight": 1000, "pick": lambda count: 0} | options
        self.service = CallService(
            registry=self.registry,
            link=link,
            secret=SECRET,
            record=self.records.append,
            suspect=self._suspect,
            **given,
        )

    def _suspect(self, node: NodeRecord) -> None:
        self.suspects.append(node.id)

    def know(self, node: ScriptedNode, *servers: ServerReport, **fields: Any) -> None:
        """Take in a report of a node."""
        self.registry.apply(node.report(*servers, **fields))

    async def call(self, tool: str = "echo", **fields: Any) -> Outcome:
        """Call a tool within 5 s."""
        given: dict[str, Any] = {"arguments": {}, "owner": Owner("alice")} | fields
        async with asyncio.timeout(5):
            return await self.service.call(Call(tool, **given))


@pytest.fixture
def calls(link: NodeLink) -> Calls:
    return Calls(link)
