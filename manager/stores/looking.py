"""Looking regularly at a store that managers share, through its outages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from wire.errors import StoreUnavailable

log = logging.getLogger(__name__)

LOOK_S = 0.5


class Looking:
    """Looks again and again; an outage of the store is one line at its start and one at its end.

    Args:
        look: Learns what is new.
        away: What an outage means, for the log.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], away: str) -> None:
        self._look = look
        self._away = away
        self._is_away = False

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Look once, and then regularly while the context is open."""
        await self._look_on()
        task = asyncio.create_task(self._run(), name=f"look: {self._away}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look_on()

    async def _look_on(self) -> None:
        try:
            await self._look()
        except StoreUnavailable as error:
            if not self._is_away:
                log.error("%s: %s", self._away, error.detail)
            self._is_away = True
        except Exception:
            log.exception("looking into the store failed; it is tried again")
        else:
            if self._is_away:
                log.info("the store is back")
            self._is_away = False
