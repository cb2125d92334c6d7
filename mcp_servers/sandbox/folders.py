"""The folders of this server's sandboxes: made and deleted in threads, for a busy disk waits there.

Most sandboxes are thrown away. A folder that was left exactly as it was made is handed on to the
next. The thread that deletes any other makes some before it goes: to have a thread do something
takes as long as making a folder does.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import anyio
import anyio.to_thread

from mcp_servers.sandbox.confined.site import USERS
from mcp_servers.sandbox.record import Facts, Record, Records

REMOVALS = 32
"""Sandboxes whose files are deleted at a time; threads of their own, so that no transfer waits."""
SPARES = 8
"""So many folders wait for sandboxes that will be thrown away; then no further one is begun."""
_AT_A_TIME = 2
"""Folders that are made for one that is deleted, so that those which wait grow old (record.py)."""
KEEP_S = 86_400.0
"""How long it is remembered that a sandbox is over."""


class Folders:
    """Makes and deletes folders, each of a user of its own.

    Args:
        records: Where the folders are.
        user_of: Returns the user of a sandbox by its number.
        prefix: What ids begin with; without one they are random only.
    """

    def __init__(self, records: Records, user_of: Callable[[int], int], prefix: str) -> None:
        self._records = records
        self._user_of = user_of
        self._prefix = prefix
        self._numbers = {user - user_of(0) for user in records.users()}
        self._removals = ThreadPoolExecutor(REMOVALS, "removals")
        self._spares: deque[Record] = deque()
        self._coming = 0
        self._over = False

    async def make(self, owner: str, ttl_s: float) -> Record:
        """Make the folder of a sandbox that lasts.

        Raises:
            OSError: it cannot be made.
        """
        return await self._make(self._draw(owner, ttl_s), lasting=True)

    async def take(self) -> Record:
        """Return the folder of a sandbox that will be thrown away, in which nothing ever was.

        Its owner is about to have it: what is done to it from now on counts.

        Raises:
            OSError: it cannot be made.
        """
        if self._spares:
            record = self._spares.popleft()
            record.facts.created = time.time()
        else:
            record = await self._make(self._draw("", KEEP_S), lasting=False)
        record.remember()
        return record

    def adopt(self, record: Record) -> None:
        """Note that a folder is served here now which another server made."""
        self._numbers.add(record.facts.number)

    async def delete(self, record: Record, over: str = "") -> None:
        """Delete what a sandbox left; keep its record if there is to say why it is `over`.

        It must not be cancelled.
        """
        waiting = len(self._spares) + self._coming
        room = 0 if record.lasting or over or self._over else max(0, SPARES - waiting)
        if room and record.is_as_remembered():
            self._spares.append(record)
            return
        coming = [self._draw("", KEEP_S) for _ in range(min(room, _AT_A_TIME))]
        self._coming += len(coming)
        act = partial(self._replace, record, over, coming)
        # In fewer turns of the loop than anyio needs.
        made = await asyncio.get_running_loop().run_in_executor(self._removals, act)
        self._coming -= len(coming)
        record.close()
        self._numbers.discard(record.facts.number)
        self._numbers.difference_update(facts.number for facts in coming[len(made) :])
        self._spares += made
        if self._over:  # since the thread began
            await self.end()

    async def end(self) -> None:
        """Delete the folders that no sandbox has, now and later."""
        self._over = True
        while self._spares:
            await self.delete(self._spares.popleft())

    def _draw(self, owner: str, ttl_s: float) -> Facts:
        """Return the facts of a new sandbox, whose number, and so user, no living one has."""
        token = secrets.token_hex(16)
        while (number := random.randrange(USERS)) in self._numbers:
            pass
        self._numbers.add(number)
        sandbox_id = f"{self._prefix}.{token}" if self._prefix else token
        return Facts(sandbox_id, owner, ttl_s, number, time.time())

    async def _make(self, facts: Facts, *, lasting: bool) -> Record:
        try:
            with anyio.CancelScope(shield=True):  # not to be lost half-way
                record = await anyio.to_thread.run_sync(self._made, facts, lasting)
        except OSError:
            self._numbers.discard(facts.number)
            raise
        return record

    def _made(self, facts: Facts, lasting: bool) -> Record:
        return self._records.make(facts, self._user_of(facts.number), lasting=lasting)

    def _replace(self, record: Record, over: str, coming: Sequence[Facts]) -> list[Record]:
        """Delete what a sandbox left, and make the folders of others; a failure is no error.

        Returns:
            Those that could be made, the first of `coming`.
        """
        with suppress(OSError):  # the sweep of what nobody serves tries again
            record.end(over) if over else record.forget()
        made: list[Record] = []
        with suppress(OSError):  # the next sandbox is told why
            made.extend(self._made(facts, lasting=False) for facts in coming)
        return made
