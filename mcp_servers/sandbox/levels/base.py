"""What a level of isolation is, and what it promises."""

from __future__ import annotations

import socket
from typing import Protocol

from mcp_servers.sandbox.confined.site import Site


class LevelFault(Exception):
    """A level does not work on this machine, or broke down; the message says why."""


class Confinement(Protocol):
    """The confined side of one sandbox, from its opening to its end."""

    control: socket.socket
    """Speaks with the sandbox's first process (confined/first.py). Closing it ends the sandbox."""

    gone: bool
    """Whether it was seen that nothing of it is left."""

    async def wait_ended(self) -> None:
        """Wait until nothing that ran there is left. May be asked again."""
        ...

    def end_now(self) -> None:
        """End it now, whatever it does. Safe to call twice; `wait_ended` tells when it is done."""
        ...

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        ...


class Level(Protocol):
    """A way to confine foreign code.

    Confinements end with the level, and with this process, however it ends. Levels that run
    containers or virtual machines fit here: they start `confined/first.py` inside.
    """

    name: str

    def promises(self) -> frozenset[str]:
        """Return what it keeps, in the words of docs/security.md. Known once it has started."""
        ...

    def user_of(self, number: int) -> int:
        """Return the user, and group, that owns the files of the sandbox with this number."""
        ...

    async def start(self) -> None:
        """Start; sandboxes can be opened from now on, though libraries may still be loading.

        Raises:
            LevelFault: it does not work here.
        """
        ...

    async def open(self, name: str, site: Site) -> Confinement:
        """Open a sandbox; its workspace exists and is the user's.

        Raises:
            LevelFault: none can be opened now.
        """
        ...

    async def close(self) -> None:
        """End everything. Safe to call twice."""
        ...
