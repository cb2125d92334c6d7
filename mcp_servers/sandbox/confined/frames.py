"""Messages over a stream socket: four bytes of length, then JSON; descriptors go beside them."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

HEAD = struct.Struct("!I")
MAX_FRAME = 64 << 20
"""Longest message in bytes: a report with figures fits, a flood does not."""
MAX_DESCRIPTORS = 4

Message = dict[str, Any]


class BadFrame(Exception):
    """What came is no message."""


def pack(message: Message) -> bytes:
    """Return a message as it travels."""
    body = json.dumps(message, ensure_ascii=True).encode()
    return HEAD.pack(len(body)) + body


def parse(body: bytes | bytearray) -> Message:
    """Return the message in `body`.

    Raises:
        BadFrame: it is none.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise BadFrame("not JSON") from None
    if not isinstance(message, dict):
        raise BadFrame("not an object")
    return message


def length_of(head: bytes | bytearray) -> int:
    """Return how many bytes follow a head.

    Raises:
        BadFrame: more than a message may have.
    """
    (length,) = HEAD.unpack(head)
    if length > MAX_FRAME:
        raise BadFrame(f"{length} bytes")
    return int(length)


def send(connection: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send a message, waiting for room.

    Raises:
        OSError: nobody listens any more.
    """
    rest = memoryview(pack(message))
    if descriptors:
        rest = rest[socket.send_fds(connection, [rest], list(descriptors)) :]
    connection.sendall(rest)


def receive(connection: socket.socket) -> tuple[Message, list[int]]:
    """Wait for a message and return it with its descriptors, which are now the caller's.

    Raises:
        EOFError: the other side is gone.
        BadFrame: what came is no message; its descriptors are closed.
    """
    head, descriptors = b"", []
    try:
        while len(head) < HEAD.size:
            piece, more, _, _ = socket.recv_fds(
                connection, HEAD.size - len(head), MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
            descriptors += more
            if not piece:
                raise EOFError
            head += piece
        return parse(_read(connection, length_of(head))), descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _read(connection: socket.socket, length: int) -> bytearray:
    body = bytearray()
    while len(body) < length:
        piece = connection.recv(min(length - len(body), 1 << 20))
        if not piece:
            raise EOFError
        body += piece
    return body
