"""What was registered over the API, as the store has it: kept, taken back, learnt from others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from manager.stores.base import Store
from manager.stores.looking import Looking
from manager.stores.sharing import SharedStore
from wire.errors import Conflict, NotFound, StoreUnavailable
from wire.models import NodeReport, Registration

TRIES = 5
KEEP_GONE_S = 86_400
"""Seconds for which it is kept that a registration was taken back, for nodes that did not hear."""


class Registrations:
    """The registrations of all managers on one store.

    Each change has a revision higher than the last of its name, in milliseconds of Unix time where
    clocks agree; whoever hears of two knows which one counts.

    Args:
        store: Keeps them.
        clock: Returns Unix time in seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, Registration] = {}
        self._changing = asyncio.Lock()

    def all(self) -> list[Registration]:
        """Return those that have an entry, by name."""
        return [r for _, r in sorted(self._known.items()) if r.entry is not None]

    def get(self, name: str) -> Registration | None:
        """Return the registration of a name, if it has an entry."""
        known = self._known.get(name)
        return known if known is not None and known.entry is not None else None

    def is_overtaken(self, registration: Registration) -> bool:
        """Whether a later change of the same name is known."""
        known = self._known.get(registration.name)
        return known is not None and known.revision > registration.revision

    def lacking(self, report: NodeReport) -> list[Registration]:
        """Return what a node has to be told: what it lacks, and what it has and should not."""
        return [
            told
            for known in self._known.values()
            if (told := self._for_node(known, report)) is not None
        ]

    def _for_node(self, known: Registration, report: NodeReport) -> Registration | None:
        has = report.registered.get(known.name)
        if known.is_for(report.profile):
            return known if has is None or has < known.revision else None
        if has is None or has >= known.revision:
            return None
        return known.model_copy(update={"entry": None})

    async def keep(
        self, name: str, profile: str, entry: dict[str, Any], *, replace: bool
    ) -> Registration:
        """Keep an entry; it is durable when this returns.

        Raises:
            Conflict: the name is registered, and `replace` is False.
            StoreUnavailable: it may be kept or not.
        """
        # Only managers shall compete, who know nothing of each other.
        async with self._changing:
            for _ in range(TRIES):
                if not replace and self.get(name) is not None:
                    raise Conflict(
                        f"{name!r} is registered already. PUT /v1/servers/{name} replaces it."
                    )
                kept = await self._save(name, profile, entry)
                if kept is not None:
                    return kept
        raise Conflict(f"{name!r} is being changed by somebody else. Try again.")

    async def take_back(self, name: str, *, known_to_a_node: bool = False) -> Registration:
        """Keep that a name has no entry any more; durable when this returns.

        Args:
            name: The tool server's name.
            known_to_a_node: Whether a node has it, though the store may not.

        Raises:
            NotFound: the name is not registered.
            Conflict, StoreUnavailable: as `keep` does.
        """
        async with self._changing:
            for _ in range(TRIES):
                before = self.get(name)
                if before is None and not known_to_a_node:
                    raise NotFound(
                        f"{name!r} is not registered. GET /v1/servers lists tool servers."
                    )
                gone = await self._save(name, before.profile if before else "*", None)
                if gone is not None:
                    await self._sweep()
                    return gone
        raise Conflict(f"{name!r} is being changed by somebody else. Try again.")

    async def _sweep(self) -> None:
        """Drop what was taken back long ago; the next time does if the store is away now."""
        with suppress(StoreUnavailable):
            await self._store.sweep_registrations(round((self._clock() - KEEP_GONE_S) * 1000))

    async def _save(
        self, name: str, profile: str, entry: dict[str, Any] | None
    ) -> Registration | None:
        """Save a change of what is known; None if more is to be known now."""
        before = self._known.get(name)
        now = round(self._clock() * 1000)
        revision = now if before is None else max(before.revision + 1, now)
        made = Registration(name=name, profile=profile, revision=revision, entry=entry)
        if await self._store.save_registration(made, before.revision if before else None):
            self._learn(made)
            return made
        await self.look()
        return None

    async def look(self) -> None:
        """Learn what the store has.

        Raises:
            StoreUnavailable: nothing could be learnt.
        """
        before = set(self._known)
        found = await self._store.registrations()
        for registration in found:
            self._learn(registration)
        for name in before - {registration.name for registration in found}:
            del self._known[name]

    def _learn(self, registration: Registration) -> None:
        known = self._known.get(registration.name)
        if known is None or known.revision < registration.revision:
            self._known[registration.name] = registration

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Learn what was registered before, and from others while the context is open.

        Raises:
            StoreUnavailable: a store of our own does not answer. A shared one may be away.
        """
        if not isinstance(self._store, SharedStore):
            await self.look()
            yield
            return
        away = "registrations of other managers are not known"
        async with Looking(self.look, away).run():
            yield
