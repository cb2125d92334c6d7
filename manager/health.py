"""How the manager is: ready, degraded or not ready, and why. Also as a text for people."""

from __future__ import annotations

import asyncio

from manager.calls import CallService
from manager.fleet import Fleet
from manager.records import Recorder
from manager.registry import Registry
from manager.stores.base import Store
from manager.views import Readiness, ServerOnNode
from wire.errors import StoreUnavailable
from wire.models import NodeState, ServerState

CHECK_S = 0.75
"""Less than the second that orchestrators wait for an answer before they take us for dead."""


class Health:
    """Looks at store, nodes and tool servers.

    Args:
        registry: What is known of nodes.
        store: Asked whether it answers.
        fleet: Knows what is wrong with nodes that should run here.
        calls: Counts the calls in flight.
        recorder: Knows whether call records wait.
        outspoken: Whether to show errors in full; they may quote what tool servers wrote, so only
            where nobody but this machine can read them.
    """

    def __init__(
        self,
        registry: Registry,
        store: Store,
        fleet: Fleet,
        calls: CallService,
        recorder: Recorder,
        *,
        outspoken: bool,
    ) -> None:
        self._registry = registry
        self._store = store
        self._fleet = fleet
        self._calls = calls
        self._recorder = recorder
        self._outspoken = outspoken

    async def readiness(self) -> Readiness:
        """Return the state of everything; in bounded time, whatever the store does."""
        store = await self._store_trouble()
        nodes = {node.id: node.state for node in self._registry.nodes()}
        tools = len(self._registry.tools())
        fatal = []
        if NodeState.READY not in nodes.values():
            fatal.append("no node is ready" if nodes else "no node has joined yet")
        if not tools:
            fatal.append("no tool can be called")
        reasons = [*fatal, *self._troubles(store)]
        return Readiness(
            status="unready" if fatal else "degraded" if reasons else "ready",
            reasons=reasons,
            store=store or "ok",
            nodes=nodes,
            servers=self._servers(),
            facts=self._facts(),
            tools=tools,
            calls_in_flight=self._calls.in_flight,
        )

    async def _store_trouble(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_S):
                await self._store.check()
        except StoreUnavailable as error:
            return error.detail if self._outspoken else "unavailable"
        except TimeoutError:
            return f"no answer within {CHECK_S:g} s"
        return None

    def _troubles(self, store: str | None) -> list[str]:
        """Return what is wrong without keeping all calls from being served."""
        found = [f"store: {store}"] if store else []
        if self._recorder.trouble is not None:
            found.append(self._records_wait())
        for node_id, trouble in self._fleet.troubles().items():
            short = f"node {node_id} ended and is started again"
            found.append(trouble if self._outspoken else short)
        for node in self._registry.nodes():
            if node.state is NodeState.LOST:
                found.append(f"node {node.id} is lost")
                continue
            found += self._node_troubles(node.id, node.report.problems)
            for server in node.report.servers:
                text = f"tool server {server.name} on {node.id} is {server.state}"
                if self._outspoken and server.error:
                    found.append(f"{text}: {server.error}")
                elif server.state is not ServerState.READY:
                    found.append(text)
        return found

    def _records_wait(self) -> str:
        records = self._recorder
        counts = f"{records.waiting} wait, {records.dropped} were dropped"
        why = f": {records.trouble}" if self._outspoken else ""
        return f"call records cannot be written ({counts}){why}"

    def _node_troubles(self, node_id: str, problems: list[str]) -> list[str]:
        if self._outspoken:
            return [f"node {node_id}: {problem}" for problem in problems]
        return [f"the profile of node {node_id} has a problem"] if problems else []

    def _servers(self) -> dict[str, dict[str, ServerState]]:
        servers: dict[str, dict[str, ServerState]] = {}
        for node in self._registry.nodes():
            for server in node.report.servers:
                view = ServerOnNode.of(node, server)
                servers.setdefault(server.name, {})[node.id] = view.state
        return servers

    def _facts(self) -> dict[str, dict[str, dict[str, str]]]:
        facts: dict[str, dict[str, dict[str, str]]] = {}
        for node in self._registry.nodes():
            for server in node.report.servers:
                if told := server.facts:
                    facts.setdefault(server.name, {})[node.id] = told
        return facts


def summary(readiness: Readiness) -> str:
    """Return the state of everything as a short text for people."""
    lines = [
        f"AgentDock manager: {readiness.status}",
        f"store: {readiness.store}",
        f"tools: {readiness.tools}, calls in flight: {readiness.calls_in_flight}",
        "nodes:",
        *(f"  {node}: {state}" for node, state in readiness.nodes.items()),
        *([] if readiness.nodes else ["  none has joined yet"]),
        "tool servers:",
    ]
    for server, nodes in sorted(readiness.servers.items()):
        facts = readiness.facts.get(server, {})
        states = ", ".join(
            f"{state} on {node}{_in_brackets(facts.get(node, {}))}" for node, state in nodes.items()
        )
        lines.append(f"  {server}: {states}")
    if readiness.reasons:
        lines += ["reasons:", *(f"  - {reason}" for reason in readiness.reasons)]
    return "\n".join(lines) + "\n"


def _in_brackets(facts: dict[str, str]) -> str:
    told = ", ".join(f"{name}: {fact}" for name, fact in facts.items())
    return f" ({told})" if told else ""
