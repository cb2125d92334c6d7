"""A worker that a sandbox's first process asks the nursery for, from the request to its end.

All first processes inherit a socket to each nursery. A request holds the limits, and descriptors:
the worker's connection to the server, a socket on which its birth and end are told, and the first
process's own namespaces, so that no other sandbox can be meant. On the second comes `pid 2`, as the
sandbox counts, or `fault` and why; and at last `exit` and the code. It is no pipe, whose ends can
be opened once more below /proc.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

from mcp_servers.sandbox.confined import descriptors, linux
from mcp_servers.sandbox.confined.proc import ticks
from mcp_servers.sandbox.confined.site import Limits, Site

MAX_MESSAGE = 4096
DESCRIPTORS = 7
_LIMITS = struct.Struct(f"{len(Limits._fields)}q")


def limits_of(request: bytes) -> Limits:
    """Return the limits that a request asks for."""
    return Limits._make(_LIMITS.unpack(request))


class Nurseries(NamedTuple):
    """The sockets on which workers are asked for: with all libraries, or for plain code."""

    whole: socket.socket
    plain: socket.socket


class Birth:
    """A worker that was asked for.

    Args:
        name: Of its job.
        told: Where its birth and its end are told.

    Attributes:
        asked: When it was asked for.
        pid: Its process, once it is born.
        fault: Why it was not born.
        wanted: What it was told before it was born.
    """

    def __init__(self, name: str, told: int) -> None:
        self.name = name
        self.told = told
        self.asked = ticks()
        self.pid = 0
        self.fault = ""
        self.wanted: list[str] = []

    def hear(self) -> tuple[str, str]:
        """Return what is told next, and what of it; nothing if no more will be told."""
        said = os.read(self.told, MAX_MESSAGE)
        what, _, value = said.decode("utf-8", "replace").partition(" ")
        return what, value


class Request:
    """Asks a nursery, in a sandbox's first process, for a worker.

    Args:
        nurseries: Whom to ask.
        site: The sandbox.
    """

    def __init__(self, nurseries: Nurseries, site: Site) -> None:
        self._nurseries = nurseries
        # Not the name of the folder, which would stay in the memory of other sandboxes' workers.
        self._message = _LIMITS.pack(*site.limits)

    def send(self, name: str, connection: int, *, plain: bool) -> Birth:
        """Ask; this waits while more than a hundred other requests are before it.

        Args:
            name: Of the worker's job.
            connection: What the worker will serve.
            plain: It will run plain code.

        Raises:
            EOFError: the nursery is gone.
            OSError: there is no room for it.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        told, given = ours.detach(), [theirs.detach()]
        try:
            given += linux.namespaces()
            nursery = self._nurseries.plain if plain else self._nurseries.whole
            descriptors.send(nursery, self._message, [connection, *given])
        except ConnectionError:
            os.close(told)
            raise EOFError from None
        except BaseException:
            os.close(told)
            raise
        finally:
            for descriptor in given:
                os.close(descriptor)
        return Birth(name, told)


def tell(told: int, what: str, value: object) -> None:
    """Say, in the nursery or its fork, what became of a request."""
    try:
        os.write(told, f"{what} {value}".encode()[:MAX_MESSAGE])
    except OSError:
        return  # the sandbox is over
