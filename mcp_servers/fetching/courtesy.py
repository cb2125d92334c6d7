"""Keeps us from being a nuisance to one host: so many requests at a time, so many in a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class _Turns:
    """What is known of one host: who is there, and when the next may begin."""

    __slots__ = ("interested", "next_at", "places")

    def __init__(self, places: int) -> None:
        self.places = anyio.Semaphore(places)
        self.next_at = 0.0
        self.interested = 0


class Courtesy:
    """Hands out turns, in the order of asking.

    Args:
        at_a_time: Most turns of a host at a time.
        rate: Most turns of a host that begin in a second.
    """

    def __init__(self, at_a_time: int, rate: float) -> None:
        self._at_a_time = at_a_time
        self._gap_s = 1 / rate
        self._hosts: dict[str, _Turns] = {}

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for a turn at `host` and hold it while the context is open."""
        turns = self._hosts.setdefault(host, _Turns(self._at_a_time))
        turns.interested += 1
        try:
            async with turns.places:
                now = anyio.current_time()
                starts_at = max(now, turns.next_at)
                turns.next_at = starts_at + self._gap_s
                if starts_at > now:
                    await anyio.sleep(starts_at - now)
                yield
        finally:
            turns.interested -= 1
            self._forget(anyio.current_time())

    def _forget(self, now: float) -> None:
        """Drop hosts that nobody asks for and that may be asked at once."""
        # One that was asked a moment ago is dropped with a later turn.
        for host in [h for h, t in self._hosts.items() if not t.interested and t.next_at <= now]:
            del self._hosts[host]
