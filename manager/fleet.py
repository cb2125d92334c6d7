"""The nodes that should exist against those that do: judges nodes lost, starts missing ones."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from manager.launchers.base import LaunchedNode, Launcher, LaunchFailed, NodeSpec
from manager.node_link import NodeLink
from manager.registry import NodeRecord, Registry
from manager.stores.base import Store
from wire.errors import StoreUnavailable
from wire.models import NodeState

log = logging.getLogger(__name__)

PROBE_S = 1.0
SILENT_S = 30.0
FORGET_S = 86_400.0
ABSENT_S = 60.0

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class FleetPolicy:
    """When the fleet acts; all in seconds.

    A node silent for `lost_after_s` is probed; one that answers probes and yet does not report for
    `silent_s` is lost all the same, for nobody knows what it has. One lost for `forget_s` is
    forgotten; after `absent_s` if it never reported to this manager: it is of an earlier time, and
    a container that was made anew meanwhile does not come back. A launched node that ends is
    started again after `restart_base_s`, doubled each time up to `restart_max_s`, from the
    beginning once it ran for `restart_reset_s`.
    """

    tick_s: float = 0.25
    lost_after_s: float = 3.0
    probe_s: float = PROBE_S
    silent_s: float = SILENT_S
    forget_s: float = FORGET_S
    absent_s: float = ABSENT_S
    restart_base_s: float = 0.5
    restart_max_s: float = 30.0
    restart_reset_s: float = 60.0


@dataclass(slots=True, eq=False)
class _Local:
    """One wanted node: what was launched for it, and when the next try is due."""

    spec: NodeSpec
    node: LaunchedNode | None = None
    started: float = 0.0
    due: float = 0.0
    ends: int = 0
    trouble: str | None = None


class Fleet:
    """Keeps the registry true and the wanted nodes running.

    Probes, launches and writes to the store are tasks of their own: whoever takes long over one
    keeps no other node from being judged.

    Args:
        registry: What is known of nodes.
        link: Probes nodes, and drops the calls on lost ones.
        launcher: Starts nodes.
        store: Keeps what was launched.
        policy: When to act.
        clock: Returns seconds that only ever grow; the registry's own.
    """

    def __init__(
        self,
        registry: Registry,
        link: NodeLink,
        launcher: Launcher,
        store: Store,
        policy: FleetPolicy = FleetPolicy(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._link = link
        self._launcher = launcher
        self._store = store
        self._policy = policy
        self._clock = clock
        self._locals = {spec.id: _Local(spec) for spec in launcher.wanted()}
        self._wake = asyncio.Event()
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._one_write = asyncio.Lock()

    def suspect(self, node: NodeRecord) -> None:
        """Have a look at a node at once: a call to it failed."""
        if node.state is not NodeState.LOST and not node.suspect:
            self._registry.suspect(node, True)
            self._wake.set()

    def wanted(self) -> list[str]:
        """Return the ids of the nodes that should run here."""
        return list(self._locals)

    def troubles(self) -> dict[str, str]:
        """Return what is wrong with wanted nodes, by node id."""
        return {i: local.trouble for i, local in self._locals.items() if local.trouble}

    def reconcile(self) -> None:
        """Compare what should be with what is, once, and begin to act on it."""
        now = self._clock()
        for node in self._registry.nodes():
            if self._doubtful(node, now):
                self._begin(node, partial(self._look, node))
            elif node.state is NodeState.LOST and now - node.seen > self._kept_s(node):
                self._registry.forget(node.id)
                self._save(partial(self._store.forget_node, node.id))
        for local in self._locals.values():
            self._begin(local, partial(self._keep, local))

    async def settled(self) -> None:
        """Wait until all that was begun is done."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def _begin(self, subject: object, work: Work) -> None:
        """Do something about a subject in a task, unless something is being done about it."""

        def ended(task: asyncio.Task[None]) -> None:
            del self._tasks[subject]
            error = None if task.cancelled() else task.exception()
            if error is not None:
                log.error("the fleet failed at something; it is tried again", exc_info=error)

        if subject not in self._tasks:
            task = self._tasks[subject] = asyncio.create_task(work(), name="fleet")
            task.add_done_callback(ended)

    def _doubtful(self, node: NodeRecord, now: float) -> bool:
        silent = now - node.seen > self._policy.lost_after_s
        return node.state is not NodeState.LOST and (silent or node.suspect)

    def _kept_s(self, node: NodeRecord) -> float:
        return self._policy.forget_s if node.heard else self._policy.absent_s

    async def _look(self, node: NodeRecord) -> None:
        """Probe a doubtful node; judge it lost unless it gives a sign of life."""
        seen = node.seen
        if await self._link.probe(node, self._policy.probe_s):
            if self._clock() - node.reported <= self._policy.silent_s:
                node.seen = max(node.seen, self._clock())
                self._registry.suspect(node, False)
                return
            reason = "it answers, but does not report"
        elif node.seen != seen:
            self._registry.suspect(node, False)
            return
        else:
            reason = "it does not answer"
        if self._registry.node(node.id) is node:
            log.warning("node %s is lost: %s", node.id, reason)
            self._registry.lose(node)
            self._link.drop(node.id)

    async def _keep(self, local: _Local) -> None:
        """Keep one wanted node running."""
        now = self._clock()
        if local.node is not None:
            end = await self._launcher.ended(local.node)
            record = self._registry.node(local.spec.id)
            if end is None:
                if record is not None:
                    local.trouble = None
                return
            self._count_end(local, end, now)
            if record is not None:
                self.suspect(record)
        if now < local.due:
            return
        try:
            node = local.node = await self._launcher.launch(local.spec)
        except LaunchFailed as error:
            self._count_end(local, str(error), now)
            return
        local.started = now
        self._save(partial(self._store.save_launched, node))

    def _count_end(self, local: _Local, end: str, now: float) -> None:
        policy = self._policy
        if now - local.started >= policy.restart_reset_s:
            local.ends = 0
        wait_s = min(policy.restart_base_s * 2.0 ** min(local.ends, 30), policy.restart_max_s)
        local.ends += 1
        local.node = None
        local.due = now + wait_s
        local.trouble = end
        log.warning("%s; it is started again in %g s", end, wait_s)

    async def _adopt(self) -> None:
        """Take over what an earlier manager launched and still runs."""
        try:
            launched = await self._store.launched()
        except StoreUnavailable as error:
            log.warning("nodes launched before are not known: %s", error.detail)
            return
        for node in launched:
            local = self._locals.get(node.id)
            if local is not None and await self._launcher.adopt(node):
                local.node = node
                local.started = self._clock()
            else:
                self._save(partial(self._store.forget_launched, node.id))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Reconcile regularly while the context is open; then end the nodes that end with us."""
        await self._adopt()
        task = asyncio.create_task(self._run(), name="fleet")
        try:
            yield
        finally:
            tasks = [task, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._launcher.close()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                self.reconcile()
            except Exception:
                log.exception("the fleet could not be reconciled; it is tried again")
            try:
                async with asyncio.timeout(self._policy.tick_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _save(self, write: Work) -> None:
        """Begin a write, in its turn. It may fail: it is made again when it matters."""

        async def in_turn() -> None:
            try:
                async with self._one_write:
                    await write()
            except StoreUnavailable as error:
                log.warning("the fleet's records are behind: %s", error.detail)

        self._begin(in_turn, in_turn)
