"""Nodes' reports: taken and kept and, on a store that managers share, learnt from the others."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from manager.registry import NodeRecord, Registry
from manager.stores.base import Store
from manager.stores.looking import Looking
from manager.stores.sharing import Heartbeat, SharedStore
from wire.errors import StoreUnavailable
from wire.models import NodeReport, NodeState

NEWER_S = 1.0
"""Seconds for which what a node told us counts as newer than what it told another manager."""

PRESENT_S = 3.0
"""Seconds for which a node that reported here is not taken for one that left elsewhere."""


class Reports:
    """Brings nodes' reports into the registry, from nodes and from the store.

    A node reports to one manager. With a `SharedStore` that manager writes a heartbeat for each
    report, and the whole report when more than the load changed; the others look for heartbeats
    that changed. With any other store nothing is looked for.

    Args:
        registry: What is known of nodes.
        store: Keeps their reports.
        drop: Drops the calls on a node that left.
        clock: Returns seconds that only ever grow; the registry's own.
    """

    def __init__(
        self,
        registry: Registry,
        store: Store,
        drop: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._store = store
        self._shared = store if isinstance(store, SharedStore) else None
        self._drop = drop
        self._clock = clock
        self._told: dict[str, float] = {}
        self._last: dict[str, Heartbeat] | None = None
        self._left: set[str] = set()

    async def take(self, report: NodeReport) -> None:
        """Take a node's own report; it counts at once, and is durable when this returns.

        Raises:
            StoreUnavailable: it counts, but is not kept; the next report tries again.
        """
        node = self._registry.apply(report)
        self._told[node.id] = self._clock()
        self._left.discard(node.id)
        await self._keep(node)

    async def _keep(self, node: NodeRecord) -> None:
        """Keep what a report changed; on a shared store at least that the node lives."""
        report = node.report
        now = time.time()
        if node.saved == report.stamp and report.revision and await self._still_kept(report, now):
            return
        await self._store.save_node(report, now)
        await self._store.save_tools([tool for s in report.servers for tool in s.tools], now)
        node.saved = report.stamp

    async def _still_kept(self, report: NodeReport, now: float) -> bool:
        """Whether what was saved is still there: other managers, or a loss, may have changed it."""
        return self._shared is None or await self._shared.beat_node(report, now)

    async def leave(self, node_id: str) -> None:
        """Forget a node; it gets no more calls.

        Raises:
            NotFound: no node has that id.
            StoreUnavailable: it is forgotten here, and in the store when that is back.
        """
        self._registry.forget(node_id)
        self._drop(node_id)
        self._told.pop(node_id, None)
        self._left.add(node_id)
        await self._store.forget_node(node_id)
        self._left.discard(node_id)

    async def look(self) -> None:
        """Learn from a shared store what the other managers were told since the last look.

        Raises:
            StoreUnavailable: nothing could be learnt. No node is blamed for its silence then.
        """
        assert self._shared is not None
        try:
            for node_id in list(self._left):
                await self._shared.forget_node(node_id)
                self._left.discard(node_id)
            beats = {beat.id: beat for beat in await self._shared.heartbeats()}
            await self._learn(beats)
        except StoreUnavailable:
            # Heartbeats from before an outage say nothing about who lives after it.
            self._last = None
            self._registry.excuse()
            raise
        self._forget_who_left(beats)
        self._last = beats

    async def _learn(self, beats: dict[str, Heartbeat]) -> None:
        """Take in nodes that are new, and those that gave a sign of life to another manager."""
        assert self._shared is not None
        known = {node.id: node.report for node in self._registry.nodes()}
        lively = [beat for beat in beats.values() if self._is_news(beat)]
        asked = [
            beat.id
            for beat in (beats.values() if self._last is None else lively)
            if beat.id not in known
            or (beat in lively and (known[beat.id].stamp != beat.stamp or not beat.stamp[1]))
        ]
        found = await self._shared.nodes_named(asked) if asked else []
        for stored in found:
            known[stored.report.id] = stored.report
            self._registry.remember(stored.report)
        for beat in lively:
            # What the node told us while we asked the store is newer.
            if beat.id in known and self._is_news(beat):
                report = known[beat.id].model_copy(update={"in_flight": beat.in_flight})
                self._registry.apply(report)

    def _is_news(self, beat: Heartbeat) -> bool:
        """Whether a node lives that another manager hears; a first look cannot tell."""
        if beat.mine or self._last is None:
            return False
        before = self._last.get(beat.id)
        changed = before is None or (before.beat, before.stamp) != (beat.beat, beat.stamp)
        return changed and not self._told_within(beat.id, NEWER_S)

    def _told_within(self, node_id: str, seconds: float) -> bool:
        told = self._told.get(node_id)
        return told is not None and self._clock() - told < seconds

    def _forget_who_left(self, beats: dict[str, Heartbeat]) -> None:
        """Forget nodes that another manager saw leave, during an outage of the store too."""
        for node in self._registry.nodes():
            if node.id in beats or self._told_within(node.id, PRESENT_S):
                continue
            if node.state is NodeState.LOST or node.id in (self._last or ()):
                self._registry.forget(node.id)
                self._drop(node.id)
                self._told.pop(node.id, None)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Remember the nodes of an earlier time, and go on looking while the context is open.

        Raises:
            StoreUnavailable: a store of our own does not answer. A shared one may be away.
        """
        if self._shared is None:
            for kept in await self._store.nodes():
                self._registry.remember(kept.report)
            yield
            return
        async with Looking(self.look, "going on without the store").run():
            yield
