"""Who may run now: so many calls of each owner, so many more that wait, and no further ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class TooMuch(Exception):
    """Nothing was begun, and nothing will be; it may be asked again after `retry_after_s`."""

    def __init__(self, text: str, retry_after_s: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Turns:
    """Lets calls run.

    Args:
        running: Calls of an owner that run at a time.
        waiting: Calls of an owner that wait at a time.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._running = running
        self._waiting = waiting
        self._places: dict[str, anyio.Semaphore] = {}
        self._asked: defaultdict[str, int] = defaultdict(int)

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a place, and hold it while the context is open.

        Raises:
            TooMuch: too many wait already.
        """
        if self._asked[owner] >= self._running + self._waiting:
            raise TooMuch(
                f"{self._running} calls of yours run in sandboxes and {self._waiting} wait: "
                "wait for some of them."
            )
        self._asked[owner] += 1
        places = self._places.setdefault(owner, anyio.Semaphore(self._running))
        try:
            async with places:
                yield
        finally:
            self._asked[owner] -= 1
            if not self._asked[owner]:
                del self._asked[owner], self._places[owner]
