"""All sandboxes: opened, found by those who own them, expired, closed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from mcp_servers.sandbox import texts
from mcp_servers.sandbox.area import FileFault, Folder
from mcp_servers.sandbox.confined.site import Limits, Site
from mcp_servers.sandbox.confined.watch import usage
from mcp_servers.sandbox.folders import KEEP_S, Folders
from mcp_servers.sandbox.levels.base import Level
from mcp_servers.sandbox.quota import Account, Quota
from mcp_servers.sandbox.record import Facts, Record, Records
from mcp_servers.sandbox.run import CannotRun
from mcp_servers.sandbox.sandbox import RESTARTED, Sandbox
from mcp_servers.sandbox.transfers import NoWorkspace
from mcp_servers.sandbox.turns import TooMuch

log = logging.getLogger(__name__)

SWEEP_S = 2.0
SWEEP_LEFT_EVERY = 15
"""Sweeps of our own sandboxes until those that nobody serves are looked at, too."""


class Elsewhere(NoWorkspace):
    """A server before this one serves the sandbox; nothing ran."""


@dataclass(slots=True)
class Live:
    """A sandbox that this server serves. It does not expire while it is `used`."""

    id: str
    sandbox: Sandbox
    record: Record
    used: int = field(default=0)


class Sandboxes:
    """Serves sandboxes.

    Args:
        level: How they are confined.
        records: Where they are kept.
        limits: What each may use.
        prefix: What ids begin with; without one they are random only.
        capacity: Most sandboxes at a time.
        per_owner: Most sandboxes of an owner.
    """

    def __init__(
        self,
        level: Level,
        records: Records,
        limits: Limits,
        *,
        prefix: str = "",
        capacity: int = 500,
        per_owner: int = 64,
    ) -> None:
        self.level = level
        self._records = records
        self._limits = limits
        self._folders = Folders(records, level.user_of, prefix)
        self._capacity = capacity
        self._per_owner = per_owner
        self._live: dict[str, Live] = {}
        self._ending: dict[str, Facts] = {}
        self._opening: list[str] = []
        self._served = 0

    async def create(self, owner: str, ttl_s: float) -> Live:
        """Open a sandbox that expires when it was not used for `ttl_s` seconds.

        Raises:
            TooMuch: the server is full.
            Refused: the owner has too many.
            CannotRun: none can be opened.
        """
        own = sum(live.record.facts.owner == owner for live in self._live.values())
        own += self._opening.count(owner)
        if own >= self._per_owner:
            raise NoWorkspace(texts.too_many_sandboxes(own))
        live = await self._open(owner, partial(self._folders.make, owner, ttl_s))
        try:
            await live.sandbox.open()
        except BaseException:
            await self._finish(live, "")
            raise
        return live

    @asynccontextmanager
    async def thrown_away(self) -> AsyncIterator[Sandbox]:
        """Have a sandbox that goes with the context.

        Raises:
            TooMuch: the server is full.
        """
        live = await self._open("", self._folders.take)
        live.used += 1
        try:
            yield live.sandbox
        finally:
            await self._finish(live, "")

    @asynccontextmanager
    async def held(self, sandbox_id: str, owner: str) -> AsyncIterator[Sandbox]:
        """Hold a sandbox while the context is open, and refresh its expiry before and after.

        Raises:
            NoWorkspace: there is none of this id, of this owner; the text is for the model.
            Elsewhere: another server serves it.
        """
        live = self._find(sandbox_id, owner)
        live.used += 1
        live.record.touch()
        try:
            yield live.sandbox
        finally:
            live.used -= 1
            if live.id in self._live:
                live.record.touch()

    @asynccontextmanager
    async def opened(self, sandbox_id: str, owner: str) -> AsyncIterator[Folder]:
        """See transfers.Workspaces."""
        async with self.held(sandbox_id, owner) as sandbox:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                descriptor = os.open(f"{sandbox.site.workspace}/home", flags)
            except PermissionError:
                text = "The permissions of the sandbox's home do not allow it."
                raise FileFault("not_permitted", 403, text) from None
            try:
                user = sandbox.site.user
                owner_of = None if user == os.geteuid() else (user, user)
                yield Folder(descriptor, owner_of, room=self._room(sandbox))
            finally:
                os.close(descriptor)

    def list(self, owner: str) -> list[dict[str, Any]]:
        """Return what there is to say of each sandbox of an owner, oldest first."""
        own = [live for live in self._live.values() if live.record.facts.owner == owner]
        return [self._line(live) for live in sorted(own, key=_age)]

    async def close(self, sandbox_id: str, owner: str) -> None:
        """Close a sandbox and delete its files.

        Raises:
            NoWorkspace: there is none of this id, of this owner.
        """
        await self._finish(self._find(sandbox_id, owner), "closed")

    async def sweep(self) -> None:
        """Close what has expired, for ever."""
        turn = 0
        while True:
            await anyio.sleep(SWEEP_S)
            turn += 1
            try:
                await self._sweep_once(also_left=turn % SWEEP_LEFT_EVERY == 0)
            except OSError:
                log.exception("a sweep of sandboxes broke off; the next one tries again")

    async def _sweep_once(self, *, also_left: bool) -> None:
        now = time.time()
        for live in list(self._live.values()):
            if live.sandbox.flooded:
                await self._finish(live, "flooded")
            elif not live.used and live.record.expires < now:
                await self._finish(live, "expired")
        if also_left:
            await self.adopt_left()

    async def adopt_left(self) -> None:
        """Serve from now on what a server that is gone has left, and delete what expired there."""
        for record in await anyio.to_thread.run_sync(self._records.sweep, KEEP_S):
            self._serve(record, RESTARTED)

    async def end(self) -> None:
        """End what runs in all sandboxes. The files of those that last stay."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as closing:
                for live in self._live.values():
                    closing.start_soon(live.sandbox.close)
            for live in self._live.values():
                live.record.close()
            self._live.clear()
            await self._folders.end()

    def _room(self, sandbox: Sandbox) -> Account:
        """Return what bounds the files that are moved into a sandbox."""
        folders = [f"{sandbox.site.workspace}/{name}" for name in ("home", "tmp")]
        cure = "Delete some of the sandbox's files."
        quota = Quota(self._limits.disk, self._limits.files, cure)
        return Account(quota, lambda: usage(folders))

    def _find(self, sandbox_id: str, owner: str) -> Live:
        ending = self._ending.get(sandbox_id)
        if ending is not None:
            raise NoWorkspace(_what_became(ending, owner))
        live = self._live.get(sandbox_id) or self._adopt(sandbox_id, owner)
        if live.record.facts.owner != owner:
            raise NoWorkspace(texts.no_such_sandbox(sandbox_id))
        if not live.used and live.record.expires < time.time():
            raise NoWorkspace(texts.expired(sandbox_id, live.record.facts.ttl_s))
        return live

    def _adopt(self, sandbox_id: str, owner: str) -> Live:
        """Serve a sandbox from now on whose server is gone."""
        record = self._records.find(sandbox_id)
        if record is None:
            if self._records.owner_elsewhere(sandbox_id) == owner:
                raise Elsewhere(texts.elsewhere(sandbox_id))
            raise NoWorkspace(texts.no_such_sandbox(sandbox_id))
        facts = record.facts
        expired = not facts.over and record.expires < time.time()
        if expired:
            facts.over = "expired"
        if facts.owner != owner or facts.over:
            record.close()
            raise NoWorkspace(_what_became(facts, owner))
        return self._serve(record, RESTARTED)

    async def _open(self, owner: str, have_folder: Callable[[], Awaitable[Record]]) -> Live:
        if len(self._live) + len(self._opening) >= self._capacity:
            raise TooMuch(f"{self._capacity} sandboxes are open here, the most there may be.", 5.0)
        self._opening.append(owner)
        try:
            return self._serve(await have_folder(), "")
        except OSError as error:
            raise CannotRun(f"no folder could be made: {error.strerror}") from None
        finally:
            self._opening.remove(owner)

    def _serve(self, record: Record, note: str) -> Live:
        site = Site(str(record.folder), self.level.user_of(record.facts.number), self._limits)
        self._folders.adopt(record)
        self._served += 1
        name = f"{record.folder.name}.{self._served}"
        sandbox = Sandbox(name, site, self.level, note)
        live = self._live[record.facts.id] = Live(record.facts.id, sandbox, record)
        return live

    async def _finish(self, live: Live, over: str) -> None:
        """End a sandbox and delete its files; keep the record if there is something to say.

        It is finished even for who is cancelled.
        """
        if self._live.pop(live.id, None) is None:
            return
        live.record.facts.over = over
        self._ending[live.id] = live.record.facts
        with anyio.CancelScope(shield=True):
            await live.sandbox.close()
            if not live.sandbox.gone or "ends" not in self.level.promises():
                live.record.spoil()
            await self._folders.delete(live.record, over)
            del self._ending[live.id]

    def _line(self, live: Live) -> dict[str, Any]:
        facts = live.record.facts
        return {
            "sandbox_id": live.id,
            "created_at": _time(facts.created),
            "expires_at": _time(live.record.expires),
            "ttl_s": facts.ttl_s,
            "level": self.level.name,
            "commands": running(live.sandbox),
        }


def running(sandbox: Sandbox) -> list[str]:
    """Return the ids of the commands that run in the background."""
    return [name for name, command in sandbox.commands.items() if command.running]


def _what_became(facts: Facts, owner: str) -> str:
    """Return what an owner is told of a sandbox that is over; to others there never was one."""
    if facts.owner == owner and facts.over == "expired":
        return texts.expired(facts.id, facts.ttl_s)
    if facts.owner == owner and facts.over == "flooded":
        return texts.flooded(facts.id)
    return texts.no_such_sandbox(facts.id)


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _age(live: Live) -> float:
    return live.record.facts.created
