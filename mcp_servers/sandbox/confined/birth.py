"""A worker that a sandbox's first process asks the nursery for, from the request to its end.

All first processes inherit one socket to the nursery. A request holds the limits, and descriptors:
the worker's connection to the server, a socket on which its birth and end are told, and the first
process's own namespaces, so that no other sandbox can be meant. On the second comes `pid 2`, as the
sandbox counts, or `fault` and why; and at last `exit` and the code.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field

from mcp_servers.sandbox.confined import linux
from mcp_servers.sandbox.confined.proc import ticks
from mcp_servers.sandbox.confined.site import Site

MAX_MESSAGE = 1 << 16
DESCRIPTORS = 7


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two ends that keep messages apart."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@dataclass(slots=True)
class Birth:
    """A worker that was asked for.

    Args:
        name: Of its job.
        told: Where its birth and its end are told.
    """

    name: str
    told: socket.socket
    asked: int = field(default_factory=ticks)
    """When."""
    pid: int = 0
    """Its process, once it is born."""
    fault: str = ""
    """Why it was not born."""
    wanted: list[str] = field(default_factory=list)
    """What it was told before it was born."""

    def hear(self) -> tuple[str, str]:
        """Return what is told next, and what of it; nothing if no more will be told."""
        try:
            said = self.told.recv(MAX_MESSAGE)
        except OSError:
            return "", ""
        what, _, value = said.decode("utf-8", "replace").partition(" ")
        return what, value


class Request:
    """Asks the nursery, in a sandbox's first process, for a worker.

    Args:
        nursery: The nursery's socket.
        site: The sandbox.
    """

    def __init__(self, nursery: socket.socket, site: Site) -> None:
        self._nursery = nursery
        # Not the name of the folder, which would stay in the memory of other sandboxes' workers.
        self._message = json.dumps(site.told()["limits"]).encode()
        # Made in the zygote, where it takes less.
        self._pair: tuple[socket.socket, socket.socket] | None = pair()

    def forget(self) -> None:
        """Close, in the zygote, what the first process has."""
        for end in self._pair or ():
            end.close()

    def send(self, name: str, connection: int) -> Birth:
        """Ask; this waits while more than a hundred other requests are before it.

        Args:
            name: Of the worker's job.
            connection: What the worker will serve.

        Raises:
            OSError: the nursery is gone.
        """
        ours, theirs = self._pair or pair()
        self._pair = None
        try:
            with linux.namespaces() as spaces:
                descriptors = [connection, theirs.fileno(), *spaces]
                socket.send_fds(self._nursery, [self._message], descriptors)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return Birth(name, ours)


def tell(told: socket.socket, what: str, value: object) -> None:
    """Say, in the nursery or its fork, what became of a request."""
    try:
        told.send(f"{what} {value}".encode())
    except OSError:
        return  # the sandbox is over
