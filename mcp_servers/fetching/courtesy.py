"""Keeps us from being a nuisance to one site: so many requests at a time, so many in a second."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class NoTurn(Exception):
    """No turn came in time."""


class _Turns:
    """What is known of one site: who is there, and when the next may begin."""

    __slots__ = ("interested", "next_at", "places")

    def __init__(self, places: int) -> None:
        self.places = anyio.Semaphore(places)
        self.next_at = 0.0
        self.interested = 0


class Courtesy:
    """Hands out turns, in the order of asking.

    Args:
        at_a_time: Most turns of a site at a time.
        rate: Most turns of a site that begin in a second.
    """

    def __init__(self, at_a_time: int, rate: float) -> None:
        self._at_a_time = at_a_time
        self._gap_s = 1 / rate
        self._sites: dict[str, _Turns] = {}

    @asynccontextmanager
    async def turn(self, site: str, patience_s: float = math.inf) -> AsyncIterator[None]:
        """Wait for a turn at `site` and hold it while the context is open.

        Raises:
            NoTurn: none came within `patience_s` seconds.
        """
        turns = self._sites.setdefault(site, _Turns(self._at_a_time))
        turns.interested += 1
        try:
            await self._come(turns, patience_s)
            try:
                yield
            finally:
                turns.places.release()
        finally:
            turns.interested -= 1
            self._forget(anyio.current_time())

    async def _come(self, turns: _Turns, patience_s: float) -> None:
        """Take a place, at a moment that keeps to the rate."""
        with anyio.move_on_after(patience_s):
            await turns.places.acquire()
            try:
                now = anyio.current_time()
                starts_at = max(now, turns.next_at)
                turns.next_at = starts_at + self._gap_s
                if starts_at > now:
                    await anyio.sleep(starts_at - now)
            except BaseException:
                turns.places.release()
                raise
            return
        raise NoTurn

    def _forget(self, now: float) -> None:
        """Drop sites that nobody asks for and that may be asked at once."""
        # One that was asked a moment ago is dropped with a later turn.
        for site in [s for s, t in self._sites.items() if not t.interested and t.next_at <= now]:
            del self._sites[site]
