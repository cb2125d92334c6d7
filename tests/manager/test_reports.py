"""Two managers' registries on one store: what one is told, the other learns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from manager.fleet import Fleet, FleetPolicy
from manager.launchers.external import ExternalLauncher
from manager.node_link import NodeLink
from manager.registry import NodeRecord, Registry
from manager.reports import NEWER_S, PRESENT_S, Reports
from manager.stores.address import MongoAddress
from manager.stores.mongo import MongoStore
from manager.stores.sqlite import SqliteStore
from tests.fakes.scripted_node import ScriptedNode, server, tool
from tests.manager.conftest import StartNode
from tests.manager.test_fleet import Clock
from tests.nodes.running import eventually
from wire.errors import NotFound, StoreUnavailable
from wire.models import NodeState


class OneManager:
    """What one manager knows, with time in the test's hand."""

    def __init__(self, store: MongoStore, link: NodeLink) -> None:
        self.store = store
        self.clock = Clock()
        self.registry = Registry(self.clock)
        self.dropped: list[str] = []
        self.reports = Reports(self.registry, store, self.dropped.append, self.clock)
        policy = FleetPolicy(probe_s=0.1)
        self.fleet = Fleet(self.registry, link, ExternalLauncher(), store, policy, self.clock)

    async def look(self, after: float = 0.5) -> None:
        """Let time pass, look at the store, then judge the nodes."""
        self.clock.now += after
        await self.reports.look()
        await self.judge()

    async def judge(self) -> None:
        """Judge the nodes once."""
        self.fleet.reconcile()
        await self.fleet.settled()

    def node(self, node_id: str = "one") -> NodeRecord:
        return next(node for node in self.registry.nodes() if node.id == node_id)

    def known(self) -> dict[str, NodeState]:
        return {node.id: node.state for node in self.registry.nodes()}


@pytest.fixture
async def managers(
    mongo_address: MongoAddress, link: NodeLink
) -> AsyncIterator[tuple[OneManager, OneManager]]:
    stores = [MongoStore(mongo_address), MongoStore(mongo_address)]
    for store in stores:
        await store.open()
    one, two = (OneManager(store, link) for store in stores)
    yield one, two
    for store in stores:
        await store.close()


Managers = tuple[OneManager, OneManager]


async def test_what_a_node_tells_one_manager_the_other_knows_after_a_look(
    managers: Managers,
) -> None:
    first, second = managers
    await second.look()
    node = ScriptedNode(port=1)
    report = node.report()
    await first.reports.take(report)
    await second.look()
    assert second.node().report == report
    assert second.known() == {"one": NodeState.READY}
    changed = node.report(server("echo", tool("new")), state=NodeState.DRAINING)
    await first.reports.take(changed)
    await second.look()
    assert second.node().report == changed
    assert second.known() == {"one": NodeState.DRAINING}


async def test_only_the_load_of_a_node_travels_while_nothing_else_changes(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = managers
    await second.look()
    report = ScriptedNode(port=1).report()
    await first.reports.take(report)
    await second.look()
    for part in ("save_node", "save_tools"):
        monkeypatch.delattr(MongoStore, part)
    monkeypatch.delattr(MongoStore, "nodes_named")
    await first.reports.take(report.model_copy(update={"in_flight": 5}))
    await second.look()
    assert second.node().load() == 5
    assert second.node().seen == second.clock.now


async def test_a_manager_that_starts_knows_tools_at_once_and_nodes_at_their_next_sign_of_life(
    managers: Managers,
) -> None:
    first, second = managers
    report = ScriptedNode(port=1).report()
    await first.reports.take(report)
    await second.look()
    assert second.known() == {"one": NodeState.JOINING}
    await second.look()
    assert second.known() == {"one": NodeState.JOINING}
    await first.reports.take(report)
    await second.look()
    assert second.known() == {"one": NodeState.READY}


async def test_a_node_that_dies_is_lost_on_every_manager_within_5_s(
    managers: Managers, start_node: StartNode
) -> None:
    first, second = managers
    await second.look()
    node = await start_node()
    await first.reports.take(node.report())
    await second.look()
    await node.stop()
    for _ in range(9):
        await first.look()
        await second.look()
    assert first.known() == second.known() == {"one": NodeState.LOST}
    await node.start()
    await first.reports.take(node.report(boot="boot-2"))
    await second.look()
    assert first.known() == second.known() == {"one": NodeState.READY}


async def test_clocks_that_differ_by_hours_do_not_matter(
    managers: Managers, start_node: StartNode
) -> None:
    first, second = managers
    second.clock.now += 86_400
    await second.look()
    node = await start_node()
    report = node.report()
    for _ in range(10):
        await first.reports.take(report)
        await second.look()
    assert second.known() == {"one": NodeState.READY}
    assert node.others == []


async def test_a_node_that_leaves_disappears_everywhere(managers: Managers) -> None:
    first, second = managers
    await second.look()
    await first.reports.take(ScriptedNode(port=1).report())
    await second.look()
    await first.reports.leave("one")
    await second.look()
    assert first.known() == second.known() == {}
    assert first.dropped == second.dropped == ["one"]
    with pytest.raises(NotFound):
        await second.reports.leave("one")


async def test_a_node_may_move_from_one_manager_to_another_and_back(managers: Managers) -> None:
    first, second = managers
    await first.look()
    await second.look()
    node = ScriptedNode(port=1)
    for told, other in ((first, second), (second, first), (first, second)):
        report = node.report()
        await told.reports.take(report)
        await other.look(NEWER_S)
        await told.look(NEWER_S)
        assert told.node().report == other.node().report == report


async def test_what_a_node_said_here_is_not_undone_by_what_it_said_elsewhere_before(
    managers: Managers,
) -> None:
    first, second = managers
    await first.look()
    node = ScriptedNode(port=1)
    await second.reports.take(node.report())
    newest = node.report(state=NodeState.DRAINING)
    first.registry.apply(newest)
    await first.reports.take(newest)
    await second.reports.take(node.report())
    await first.look(0.1)
    assert first.node().report == newest


async def test_a_store_that_lost_everything_is_filled_by_the_next_reports(
    managers: Managers,
) -> None:
    first, second = managers
    await second.look()
    report = ScriptedNode(port=1).report()
    await first.reports.take(report)
    await second.look()
    await first.store.forget_node("one")
    await first.reports.take(report)
    await second.look()
    assert second.known() == {"one": NodeState.READY}


class TestWithoutTheStore:
    """The managers go on with what they know."""

    async def test_silence_is_not_held_against_nodes_that_answer(
        self, managers: Managers, start_node: StartNode
    ) -> None:
        first, second = managers
        await second.look()
        node = await start_node()
        await first.reports.take(node.report())
        await second.look()
        await second.store.close()
        for _ in range(120):
            second.clock.now += 0.5
            with pytest.raises(StoreUnavailable):
                await second.reports.look()
            await second.judge()
        assert second.known() == {"one": NodeState.READY}
        await node.stop()
        second.clock.now += PRESENT_S + 0.5
        await second.judge()
        assert second.known() == {"one": NodeState.LOST}

    async def test_a_report_counts_but_is_refused_and_saved_later(self, managers: Managers) -> None:
        first, second = managers
        await second.look()
        await first.store.close()
        report = ScriptedNode(port=1).report()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await first.reports.take(report)
        assert first.known() == {"one": NodeState.READY}
        await first.store.open()
        await first.reports.take(report)
        await second.look()
        assert second.known() == {"one": NodeState.READY}

    async def test_a_node_that_left_meanwhile_disappears_everywhere_afterwards(
        self, managers: Managers
    ) -> None:
        first, second = managers
        await second.look()
        await first.reports.take(ScriptedNode(port=1).report())
        await second.look()
        for manager in managers:
            await manager.store.close()
        with pytest.raises(StoreUnavailable):
            await first.reports.leave("one")
        with pytest.raises(StoreUnavailable):
            await second.look()
        assert (first.known(), second.known()) == ({}, {"one": NodeState.READY})
        for manager in managers:
            await manager.store.open()
            await manager.look(PRESENT_S + 0.1)
        await second.look()
        assert first.known() == second.known() == {}
        assert await first.store.nodes() == []

    async def test_an_outage_is_one_line_at_its_start_and_one_at_its_end(
        self, managers: Managers, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "manager.stores.looking")
        first, _ = managers
        await first.store.close()
        async with first.reports.run():
            await eventually(lambda: "going on without the store" in caplog.text)
            await first.store.open()
            await eventually(lambda: "the store is back" in caplog.text)
        assert len([r for r in caplog.records if r.name == "manager.stores.looking"]) == 2


async def test_a_store_of_our_own_is_never_looked_at_for_others(link: NodeLink) -> None:
    store = SqliteStore(":memory:")
    await store.open()
    await store.save_node(ScriptedNode().report(), 1.0)
    registry = Registry()
    before = asyncio.all_tasks()
    async with Reports(registry, store, link.drop).run():
        assert [node.state for node in registry.nodes()] == [NodeState.JOINING]
        assert asyncio.all_tasks() == before
    await store.close()
