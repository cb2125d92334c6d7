"""What is plugged under one name, as the host sees it: a process, a pool, or one for each Session.

`nodes/supervisor.py`, `nodes/pool.py` and `nodes/sessions.py` keep these promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from nodes.channel import Reply
from nodes.entries import Entry
from nodes.files_socket import FilesSocket
from wire.models import ServerReport, ServerState, ToolInfo


class Unit(Protocol):
    """Serves one entry from `start` to `stop`. Nothing here but `drain` and `stop` waits long."""

    entry: Entry

    settled: asyncio.Event
    """Set when it takes calls, was given up, or was stopped: whichever comes first."""

    @property
    def state(self) -> ServerState:
        """Where it stands as a whole."""
        ...

    @property
    def error(self) -> str | None:
        """What is wrong and what would cure it."""
        ...

    @property
    def tools(self) -> Sequence[ToolInfo]:
        """Its tools, as last listed."""
        ...

    @property
    def offers_tools(self) -> bool:
        """Whether its tools are listed: they are while it is likely to serve again soon."""
        ...

    @property
    def files(self) -> FilesSocket | None:
        """Where it serves files, if that is its task and it can do so now."""
        ...

    @property
    def in_flight(self) -> int:
        """How many calls it works on."""
        ...

    def report(self) -> ServerReport:
        """Return how things stand."""
        ...

    def start(self) -> None:
        """Begin to serve; once."""
        ...

    async def request(self, params: bytes, timeout_s: float, owner: str | None = None) -> Reply:
        """Send one `tools/call`; see `Life.request`.

        Args:
            params: A JSON object in one line.
            timeout_s: Seconds until the call is given up.
            owner: Whose call it is; only a session-scoped unit needs to know.

        Raises:
            PlatformError: see `Life.request`; with ServerUnavailable and Overloaded nothing ran.
        """
        ...

    async def close_session(self, owner: str) -> int:
        """End what belongs to an owner alone; return how many processes that were.

        What is in flight there fails. Safe to call for an owner that has nothing.
        """
        ...

    def follow(self, old: Unit) -> bool:
        """Take over from the unit of an earlier entry; return whether `old` is taken care of.

        If so, `old` goes on for the Sessions that live in it and is stopped by this unit. If not,
        it is to be drained and stopped by whoever asked.
        """
        ...

    def refuse_calls(self) -> None:
        """Take no new calls from now on, and start nothing again."""
        ...

    async def drain(self, timeout_s: float) -> None:
        """Refuse calls, and wait at most `timeout_s` seconds for the running ones."""
        ...

    async def stop(self) -> None:
        """End everything. Ends it also if the caller is cancelled; safe to call twice."""
        ...
