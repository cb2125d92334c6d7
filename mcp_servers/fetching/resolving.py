"""How a host's name becomes addresses: a short protocol, and the machine's own way."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Protocol

import anyio
import anyio.to_thread

MAX_AT_A_TIME = 64
"""Look-ups at a time: each holds a thread, and some take as long as the machine's own limit."""


class Resolver(Protocol):
    """Looks names up."""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return all addresses of `host`, those to be tried first in front; none if unknown.

        It may be cancelled at any time. It never raises for a name that leads nowhere.
        """
        ...


class SystemResolver:
    """Asks as every program of this machine does: files, DNS, whatever it is set to."""

    def __init__(self) -> None:
        # Threads of its own: names that hang must not stop others who wait for a thread.
        self._threads = anyio.CapacityLimiter(MAX_AT_A_TIME)

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """See Resolver."""

        def look_up() -> list[str]:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                return []
            return [str(entry[4][0]) for entry in found]

        names = await anyio.to_thread.run_sync(
            look_up, abandon_on_cancel=True, limiter=self._threads
        )
        return list(dict.fromkeys(names))
