"""What a supervisor needs of one life of a tool server: a process of ours, or a remote service.

`nodes/child.py` and `nodes/remote.py` keep these promises; only `nodes/lives.py` knows which is
which.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from nodes.channel import Reply
from nodes.files_socket import FilesSocket


class StartFailed(Exception):
    """The tool server could not be started or connected; the text says what would cure it."""


class Life(Protocol):
    """One tool server from its start to its end. A restart, or a new connection, is another Life.

    `begin` is called once; `end` once after it, however it went; `explain` after that.
    """

    ended: asyncio.Event
    """Set when no further call can be answered: it died, or it cannot be reached any more."""

    @property
    def files(self) -> FilesSocket | None:
        """Where it serves files, if that is its task; while this is held, it is not idle."""
        ...

    @property
    def pid(self) -> int | None:
        """Id of the process while there is one of ours; None for a remote service, always."""
        ...

    @property
    def where(self) -> str:
        """Name of the process or the place for people and logs; it never holds a secret."""
        ...

    @property
    def in_flight(self) -> int:
        """How many requests wait for their response."""
        ...

    @property
    def away(self) -> bool:
        """Whether it failed for a reason that may pass by itself, so that trying on makes sense."""
        ...

    async def begin(self) -> list[dict[str, Any]]:
        """Start or connect, agree on a version of MCP, and return the definitions of all tools.

        May be cancelled at any point, which is how the time for it ends.

        Raises:
            StartFailed, HandshakeFailed, PlatformError: it cannot be used.
        """
        ...

    async def list_tools(self) -> list[dict[str, Any]]:
        """Return the definitions of all tools as they are now.

        Raises:
            HandshakeFailed, PlatformError: they are unknown; what was known stays.
        """
        ...

    async def request(self, params: bytes, timeout_s: float) -> Reply:
        """Send one `tools/call` and return its response, be it a result or a JSON-RPC error.

        May be called from any task, many times at once. Cancelling tells the server to stop.

        Args:
            params: A JSON object in one line.
            timeout_s: Seconds until the server is told to stop and the call fails.

        Raises:
            ServerUnavailable, Overloaded: nothing ran.
            CallTimedOut, ServerCrashed: it may have run.
            ServerError: it answered with something that is no response.
        """
        ...

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight, at most `timeout_s` seconds; return whether it is so."""
        ...

    async def end(self) -> None:
        """Let go of everything, also of what a process left; what is in flight fails.

        Takes a bounded time and raises nothing. Runs to its end even if the caller is cancelled,
        because the supervisor shields it.
        """
        ...

    def explain(self, failure: Exception | None) -> str:
        """Say why it ended and what would cure it.

        Args:
            failure: What `begin` raised; None if it had begun.
        """
        ...
