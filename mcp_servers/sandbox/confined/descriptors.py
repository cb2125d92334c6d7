"""Descriptors that travel beside a message, over a socket within this machine.

As `socket.send_fds` and `recv_fds` do it, but without arrays: what a fork is the first to touch, be
it a function or a type, costs it the copy of a page.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

_SIZE = struct.calcsize("i")
_RIGHTS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)
_CLOSED_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)


def send(connection: socket.socket, data: bytes | memoryview, descriptors: Sequence[int]) -> int:
    """Send data with copies of some descriptors; return how many bytes were taken.

    Raises:
        OSError: nobody listens any more.
    """
    rights = struct.pack(f"{len(descriptors)}i", *descriptors)
    return connection.sendmsg([data], [(*_RIGHTS, rights)])


def receive(connection: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Wait for data, and return it with the descriptors that came, which are now the caller's.

    Args:
        connection: The socket.
        size: Most bytes of data.
        most: Most descriptors; more of them are closed unseen, or all if there is no room for them.

    Raises:
        OSError: the connection is broken.
    """
    data, beside, _, _ = connection.recvmsg(size, socket.CMSG_LEN(most * _SIZE), _CLOSED_ON_EXEC)
    found: list[int] = []
    for level, kind, rights in beside:
        if (level, kind) == _RIGHTS:
            found += memoryview(rights[: len(rights) // _SIZE * _SIZE]).cast("i")
    return data, found
