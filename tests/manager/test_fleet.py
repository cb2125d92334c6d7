from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from manager.fleet import Fleet, FleetPolicy
from manager.launchers.base import LaunchedNode, LaunchFailed, NodeSpec
from manager.launchers.external import ExternalLauncher
from manager.node_link import NodeLink
from manager.registry import NodeRecord, Registry
from manager.stores.sqlite import SqliteStore
from tests.fakes import scripted_node
from tests.fakes.scripted_node import ScriptedNode
from tests.manager.conftest import StartNode
from wire.errors import NodeLost
from wire.models import NodeState

POLICY = FleetPolicy(probe_s=0.1)


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ScriptedLauncher(ExternalLauncher):
    """Wants the nodes it is told, and starts nothing real."""

    def __init__(self, *wanted: str) -> None:
        self.specs = [NodeSpec(name, "test", 1) for name in wanted]
        self.launches: list[str] = []
        self.launched = asyncio.Event()
        self.fails = False
        self.end: str | None = None
        self.outlive = False

    def wanted(self) -> Sequence[NodeSpec]:
        return self.specs

    async def launch(self, spec: NodeSpec) -> LaunchedNode:
        self.launches.append(spec.id)
        self.launched.set()
        if self.fails:
            raise LaunchFailed("no more processes")
        self.end = None
        return LaunchedNode(spec.id, "scripted", str(len(self.launches)), "")

    async def adopt(self, node: LaunchedNode) -> bool:
        return self.outlive

    async def ended(self, node: LaunchedNode) -> str | None:
        return self.end


class Setting:
    """A fleet over real parts, with time in the test's hand."""

    def __init__(self, link: NodeLink, store: SqliteStore, *wanted: str) -> None:
        self.clock = Clock()
        self.registry = Registry(self.clock)
        self.launcher = ScriptedLauncher(*wanted)
        self.store = store
        self.link = link
        self.fleet = Fleet(self.registry, link, self.launcher, store, POLICY, self.clock)

    def again(self) -> Setting:
        """Return what a restarted manager has: the same store, and nothing else."""
        return Setting(self.link, self.store, *(spec.id for spec in self.launcher.specs))

    async def after(self, seconds: float) -> None:
        """Let time pass, then reconcile once."""
        self.clock.now += seconds
        async with asyncio.timeout(5):
            self.fleet.reconcile()
            await self.fleet.settled()

    def state(self, node: ScriptedNode) -> NodeState:
        return next(n.state for n in self.registry.nodes() if n.id == node.id)


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    made = SqliteStore(":memory:")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def it(link: NodeLink, store: SqliteStore) -> Setting:
    return Setting(link, store)


async def test_a_node_that_reports_is_not_probed(it: Setting, start_node: StartNode) -> None:
    node = await start_node()
    it.registry.apply(node.report())
    await it.after(2.9)
    assert node.others == []


async def test_a_silent_node_that_answers_its_probe_stays(
    it: Setting, start_node: StartNode
) -> None:
    node = await start_node()
    it.registry.apply(node.report())
    await it.after(3.1)
    assert [request.path for request in node.others] == ["/livez"]
    assert it.state(node) is NodeState.READY


async def test_a_node_that_answers_probes_but_never_reports_is_lost_in_the_end(
    it: Setting, start_node: StartNode
) -> None:
    node = await start_node()
    it.registry.apply(node.report())
    for _ in range(9):
        await it.after(3.1)
    assert it.state(node) is NodeState.READY
    await it.after(3.1)
    assert it.state(node) is NodeState.LOST


@pytest.mark.parametrize("fault", ["gone", "hangs", "breaks off", "rubbish"])
async def test_a_silent_node_that_fails_its_probe_is_lost(
    it: Setting, start_node: StartNode, fault: str
) -> None:
    node = await start_node()
    it.registry.apply(node.report())
    if fault == "gone":
        await node.stop()
    faults = {"hangs": scripted_node.hang, "breaks off": scripted_node.break_off}
    node.alive = faults.get(fault, scripted_node.rubbish)
    await it.after(3.1)
    assert it.state(node) is NodeState.LOST
    assert it.registry.tools() == []


async def test_the_longest_way_to_lost_is_within_5_s() -> None:
    policy = FleetPolicy()
    assert policy.lost_after_s + policy.tick_s + policy.probe_s < 5


async def test_calls_in_flight_on_a_lost_node_fail_at_once(
    it: Setting, start_node: StartNode
) -> None:
    node = await start_node(behaviour=scripted_node.hang, alive=scripted_node.hang)
    it.registry.apply(node.report())
    call = asyncio.ensure_future(it.link.post(node, "echo", b"{}", "c1", 60.0))
    await node.until(lambda n: len(n.calls) == 1)
    await it.after(3.1)
    with pytest.raises(NodeLost):
        await asyncio.wait_for(call, 5)


async def test_a_suspect_is_looked_at_without_waiting_for_its_silence(
    it: Setting, start_node: StartNode
) -> None:
    dead, alive = await start_node(id="dead"), await start_node(id="alive")
    for node in (dead, alive):
        it.fleet.suspect(it.registry.apply(node.report()))
    await dead.stop()
    await it.after(0.0)
    assert it.state(dead) is NodeState.LOST
    assert it.state(alive) is NodeState.READY
    assert not any(node.suspect for node in it.registry.nodes())


async def test_a_suspect_is_looked_at_at_once_while_the_fleet_runs(
    link: NodeLink, store: SqliteStore, start_node: StartNode
) -> None:
    registry = Registry()
    fleet = Fleet(registry, link, ExternalLauncher(), store, FleetPolicy(tick_s=60.0))
    node = await start_node()
    record = registry.apply(node.report())
    await node.stop()
    async with fleet.run():
        await asyncio.sleep(0)  # the first round
        await judged_lost(registry, fleet, record)


async def test_a_node_that_hangs_keeps_no_other_from_being_judged(
    link: NodeLink, store: SqliteStore, start_node: StartNode
) -> None:
    registry = Registry()
    policy = FleetPolicy(tick_s=60.0, probe_s=60.0)
    fleet = Fleet(registry, link, ExternalLauncher(), store, policy)
    hanging = await start_node(id="hanging", alive=scripted_node.hang)
    dead = await start_node(id="dead")
    records = [registry.apply(node.report()) for node in (hanging, dead)]
    await dead.stop()
    async with fleet.run():
        fleet.suspect(records[0])
        await hanging.until(lambda node: len(node.others) == 1)
        await judged_lost(registry, fleet, records[1])
    assert records[0].state is NodeState.READY


async def judged_lost(registry: Registry, fleet: Fleet, node: NodeRecord) -> None:
    """Suspect a node, and wait until it is judged lost."""
    lost = asyncio.Event()
    registry.watch(lambda: lost.set() if node.state is NodeState.LOST else None)
    fleet.suspect(node)
    await asyncio.wait_for(lost.wait(), 5)


class HangingStore(SqliteStore):
    """Never comes back from a write."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.writing = asyncio.Event()

    async def save_launched(self, node: LaunchedNode) -> None:
        self.writing.set()
        await asyncio.Event().wait()


async def test_a_store_that_hangs_keeps_no_node_from_being_judged_or_started_again(
    link: NodeLink, start_node: StartNode
) -> None:
    registry, store, launcher = Registry(), HangingStore(), ScriptedLauncher("one")
    await store.open()
    policy = FleetPolicy(tick_s=0.01, restart_base_s=0.0)
    fleet = Fleet(registry, link, launcher, store, policy)
    dead = await start_node(id="dead")
    record = registry.apply(dead.report())
    await dead.stop()
    async with fleet.run():
        await asyncio.wait_for(store.writing.wait(), 5)
        await judged_lost(registry, fleet, record)
        launcher.end = "it ended"
        launcher.launched.clear()
        await asyncio.wait_for(launcher.launched.wait(), 5)
    await store.close()


async def test_a_node_that_reports_during_its_probe_is_not_lost(
    it: Setting, start_node: StartNode
) -> None:
    node = await start_node()

    async def report_instead(exchange: scripted_node.Exchange) -> None:
        it.registry.apply(node.report())
        await exchange.reply(503, b"{}")

    node.alive = report_instead
    it.registry.apply(node.report())
    await it.after(3.1)
    assert it.state(node) is NodeState.READY


async def test_a_lost_node_is_back_with_its_report_and_forgotten_after_a_day(
    it: Setting, start_node: StartNode
) -> None:
    node = await start_node()
    report = node.report()
    it.registry.apply(report)
    await it.store.save_node(report, 1.0)
    await node.stop()
    await it.after(3.1)
    it.registry.apply(report)
    assert it.state(node) is NodeState.READY
    await it.after(3.1)
    await it.after(86_401)
    assert it.registry.nodes() == []
    assert await it.store.nodes() == []


async def test_a_node_of_an_earlier_time_that_does_not_come_is_soon_forgotten(
    it: Setting, start_node: StartNode
) -> None:
    node = await start_node()
    report = node.report()
    await it.store.save_node(report, 1.0)
    await node.stop()
    it.registry.remember(report)
    await it.after(3.1)
    assert it.state(node) is NodeState.LOST
    await it.after(50)
    assert it.state(node) is NodeState.LOST
    await it.after(10)
    assert it.registry.nodes() == []
    assert await it.store.nodes() == []


class TestWantedNodes:
    """Nodes that the launcher should keep running."""

    @pytest.fixture
    def it(self, link: NodeLink, store: SqliteStore) -> Setting:
        return Setting(link, store, "one", "two")

    async def test_each_is_launched_once_and_kept_in_the_store(self, it: Setting) -> None:
        await it.after(0.0)
        await it.after(60.0)
        assert sorted(it.launcher.launches) == ["one", "two"]
        assert [node.id for node in await it.store.launched()] == ["one", "two"]

    async def test_one_that_ends_is_started_again_ever_later(
        self, link: NodeLink, store: SqliteStore
    ) -> None:
        it = Setting(link, store, "one")
        await it.after(0.0)
        waits = []
        for _ in range(8):
            it.launcher.end = "node one ended with exit code 1: port in use"
            await it.after(0.0)
            before, begun = len(it.launcher.launches), it.clock.now
            while len(it.launcher.launches) == before:
                await it.after(0.5)
            waits.append(it.clock.now - begun)
        assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
        assert it.fleet.troubles() == {"one": "node one ended with exit code 1: port in use"}

    async def test_one_that_ran_long_is_started_again_soon_and_its_trouble_is_over(
        self, link: NodeLink, store: SqliteStore
    ) -> None:
        it = Setting(link, store, "one")
        await it.after(0.0)
        for uptime in (1.0, 1.0, 61.0):
            it.clock.now += uptime
            it.launcher.end = "it ended"
            await it.after(0.0)
            await it.after(30.0 if uptime < 60 else 0.5)
        assert len(it.launcher.launches) == 4
        it.registry.apply(ScriptedNode("one").report())
        await it.after(0.0)
        assert it.fleet.troubles() == {}

    async def test_one_that_cannot_be_started_is_tried_again_and_told(self, it: Setting) -> None:
        it.launcher.fails = True
        await it.after(0.0)
        assert set(it.fleet.troubles().values()) == {"no more processes"}
        it.launcher.fails = False
        await it.after(0.5)
        assert sorted(it.launcher.launches) == ["one", "one", "two", "two"]

    @pytest.mark.parametrize("outlive", [True, False])
    async def test_a_restarted_manager_adopts_those_that_outlived_the_first(
        self, it: Setting, outlive: bool
    ) -> None:
        await it.after(0.0)
        second = it.again()
        second.launcher.outlive = outlive
        async with second.fleet.run():
            await second.after(0.0)
        assert sorted(second.launcher.launches) == ([] if outlive else ["one", "two"])

    async def test_a_store_that_is_away_does_not_keep_nodes_from_being_launched(
        self, link: NodeLink
    ) -> None:
        it = Setting(link, SqliteStore(":memory:"), "one")
        async with it.fleet.run():
            await it.after(0.0)
        assert it.launcher.launches == ["one"]
