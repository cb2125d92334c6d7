"""Registers tool servers over the API: checks, keeps, tells the nodes, waits for them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from manager.masking import is_masked
from manager.node_link import NodeLink, NotAccepted
from manager.registrations import Registrations
from manager.registry import NodeRecord, Registry
from wire.entry import EntryFault, check_form
from wire.errors import BadEntry, Conflict, PlatformError
from wire.models import EVERY_PROFILE, FROM_API, NodeState, Registration, ServerState

PUSH_S = 5.0


class OnNode(BaseModel):
    """What became of a registration on one node: the tool server's state, and what is wrong."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"state": "ready", "tools": ["roll"], "error": None}}
    )

    state: str
    tools: list[str] = []
    error: str | None = None


class Registrar:
    """Plugs tool servers in and out on every node of a profile.

    Args:
        registrations: Keeps them.
        registry: Knows the nodes and what they host.
        link: Tells nodes at once what they would else learn with their next report.
    """

    def __init__(self, registrations: Registrations, registry: Registry, link: NodeLink) -> None:
        self._registrations = registrations
        self._registry = registry
        self._link = link
        self._changed = asyncio.Event()
        registry.watch(self._note)

    async def register(
        self, name: str, profile: str, raw: dict[str, Any], *, replace: bool, wait_s: float
    ) -> tuple[Registration, dict[str, OnNode]]:
        """Keep an entry and plug it in.

        Args:
            name: The tool server's name.
            profile: Which nodes host it; `*` for all.
            raw: The entry, as under `mcpServers`.
            replace: Whether it may take the place of one that was registered before.
            wait_s: Seconds to wait for what happens on the nodes.

        Returns:
            What is kept, and what became of it by node id.

        Raises:
            BadEntry: the entry cannot be used, or no node has such a profile.
            Conflict: a profile file defines the name, or it is registered already.
            StoreUnavailable: it may be kept or not; ask again.
        """
        self.check(name, profile, raw)
        registration = await self._registrations.keep(name, profile, raw, replace=replace)
        return registration, await self._spread(registration, wait_s)

    async def unregister(self, name: str, wait_s: float) -> tuple[Registration, dict[str, OnNode]]:
        """Take a registration back and unplug it; running calls are finished first.

        Raises:
            Conflict: a profile file defines the name, and nothing is registered under it.
            NotFound, StoreUnavailable: see `Registrations.take_back`.
        """
        nodes = self._registry.nodes()
        held = any(name in node.report.registered for node in nodes)
        if self._registrations.get(name) is None and not held:
            self._check_files(name)
        gone = await self._registrations.take_back(name, known_to_a_node=held)
        return gone, await self._spread(gone, wait_s)

    def check(self, name: str, profile: str, raw: dict[str, Any]) -> None:
        """Refuse what can be refused before anything is kept.

        Raises:
            BadEntry, Conflict: see `register`.
        """
        try:
            check_form(name, raw)
        except EntryFault as fault:
            raise BadEntry(f"{name}: {fault}") from None
        if is_masked(raw):
            raise BadEntry(
                f"{name}: the entry holds `***`, which stands for a value that is not shown: "
                "write the value, or ${VAR}."
            )
        profiles = sorted({node.report.profile for node in self._registry.nodes()})
        if profiles and profile not in (EVERY_PROFILE, *profiles):
            raise BadEntry(
                f"No node has the profile {profile!r}. There is {', '.join(profiles)}, "
                f"and {EVERY_PROFILE!r} for all."
            )
        self._check_files(name)

    def _check_files(self, name: str) -> None:
        """Refuse a name that a profile file defines, on whatever node: a name means one thing."""
        for node in self._registry.nodes():
            server = node.server(name)
            if server is not None and server.source not in ("", FROM_API):
                raise Conflict(
                    f"{name!r} is defined in {server.source} on node {node.id}: change it there, "
                    "or take another name."
                )

    async def _spread(self, registration: Registration, wait_s: float) -> dict[str, OnNode]:
        """Tell the nodes that it concerns, and wait for what becomes of it."""
        ends_at = time.monotonic() + wait_s
        nodes = [node for node in self._registry.nodes() if _concerns(registration, node)]
        live = [n for n in nodes if n.state in (NodeState.READY, NodeState.DRAINING)]
        failures = await asyncio.gather(*(self._push(registration, node) for node in live))
        troubles = {n.id: f for n, f in zip(live, failures, strict=True) if f is not None}
        waited = [node.id for node in live if node.id not in troubles]
        while not all(self._is_settled(registration, node_id) for node_id in waited):
            left_s = ends_at - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, left_s)):
                    await self._changed.wait()
            except TimeoutError:
                break
        return {n.id: self._outcome(registration, n.id, troubles.get(n.id)) for n in nodes}

    async def _push(self, registration: Registration, node: NodeRecord) -> str | None:
        """Tell one node; return what went wrong, if anything."""
        told = registration
        if not registration.is_for(node.report.profile):
            told = registration.model_copy(update={"entry": None})
        body = orjson.dumps([told.model_dump(mode="json")])
        try:
            await self._link.control(node, "/v1/registrations", PUSH_S, "PUT", content=body)
        except (NotAccepted, PlatformError) as error:
            return str(error)
        return None

    def _is_settled(self, registration: Registration, node_id: str) -> bool:
        node = self._registry.node(node_id)
        if node is None or self._registrations.is_overtaken(registration):
            return True
        has = node.report.registered.get(registration.name)
        if not registration.is_for(node.report.profile):
            return has is None or has > registration.revision
        if has is None or has < registration.revision:
            return False
        server = node.server(registration.name)
        return (
            server is not None
            and not server.changing
            and (server.state is not ServerState.STARTING or server.error is not None)
        )

    def _outcome(self, registration: Registration, node_id: str, trouble: str | None) -> OnNode:
        node = self._registry.node(node_id)
        if node is None or node.state is NodeState.JOINING:
            return OnNode(state="lost", error="The node is away; it is told when it is back.")
        if trouble is not None:
            return OnNode(state="unknown", error=f"{trouble}. It is told with its next report.")
        server = node.server(registration.name)
        if server is None:
            return OnNode(state="unplugged")
        tools = [tool.name for tool in server.tools]
        if not registration.is_for(node.report.profile):
            if server.source != FROM_API:
                return OnNode(state=server.state, tools=tools)
            return OnNode(state="draining" if server.in_flight else "unplugged")
        error = server.error
        if self._registrations.is_overtaken(registration):
            error = error or "It was changed again meanwhile; this is how the change goes."
        elif not self._is_settled(registration, node_id):
            error = error or "It is still starting; GET /v1/servers tells how it goes."
        return OnNode(state=server.state, tools=tools, error=error)

    def _note(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _concerns(registration: Registration, node: NodeRecord) -> bool:
    is_there = registration.name in node.report.registered
    return is_there or registration.is_for(node.report.profile)
