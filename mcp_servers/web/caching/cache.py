"""Asks once for many callers, and remembers the answer for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import orjson


class Stored(Protocol):
    """A value, and when it was stored."""

    @property
    def value(self) -> bytes:
        """The value."""
        ...

    @property
    def stored(self) -> float:
        """Seconds since the epoch."""
        ...


class Store(Protocol):
    """Where values are kept. It never raises: what it cannot do, it leaves undone."""

    async def get(self, key: str, now: float) -> Stored | None:
        """Return what was stored under a key and has not expired."""
        ...

    async def put(self, key: str, value: bytes, ttl_s: float, now: float) -> None:
        """Store a value for `ttl_s` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A fresh value of JSON, and for how many seconds it may be kept; 0 for not at all."""

    value: Any
    ttl_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A value; `age_s` says how many seconds ago it was stored, None if it is fresh."""

    value: Any
    age_s: float | None = None


@dataclass(slots=True)
class _Flight:
    """One request for all who want the same at the same time."""

    task: asyncio.Task[Kept]
    waiting: int = 0


class Cache:
    """Results by key.

    Args:
        store: Keeps them; None if nothing is to be kept.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, store: Store | None, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._flights: dict[str, _Flight] = {}

    async def get(self, key: str) -> Kept | None:
        """Return what is kept under a key."""
        if self._store is None:
            return None
        now = self._clock()
        stored = await self._store.get(key, now)
        if stored is None:
            return None
        return Kept(orjson.loads(stored.value), round(max(0.0, now - stored.stored), 1))

    async def get_or_make(
        self, key: str, make: Callable[[], Awaitable[Made]], *, fresh: bool = False
    ) -> Kept:
        """Return what is kept under a key, or make it: once, however many ask at a time.

        Whoever is cancelled leaves the others what is being made; when nobody waits any more, the
        making is cancelled too.

        Args:
            key: See `key_of`.
            make: Makes the value. What it raises, all who wait get; it is never kept.
            fresh: Whether to make it even if it is kept. What is made then is kept as well.
        """
        if fresh:
            return await self._make(key, make)
        flight = self._flights.get(key) or self._start(key, make)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                # Whoever comes now begins anew: this one is about to end with nothing.
                self._forget(key, flight)
                flight.task.cancel()

    def _start(self, key: str, make: Callable[[], Awaitable[Made]]) -> _Flight:
        async def fly() -> Kept:
            return await self.get(key) or await self._make(key, make)

        def landed(task: asyncio.Task[Kept]) -> None:
            self._forget(key, flight)
            if not task.cancelled():
                task.exception()  # those who waited have seen it

        flight = _Flight(asyncio.create_task(fly(), name="flight"))
        flight.task.add_done_callback(landed)
        self._flights[key] = flight
        return flight

    def _forget(self, key: str, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _make(self, key: str, make: Callable[[], Awaitable[Made]]) -> Kept:
        made = await make()
        if self._store is not None and made.ttl_s > 0:
            await self._store.put(key, orjson.dumps(made.value), made.ttl_s, self._clock())
        return Kept(made.value)


def key_of(*parts: Any) -> str:
    """Return one key for JSON values: the same for the same, whatever the order of their names."""
    return blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
