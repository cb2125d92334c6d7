"""Messages over a stream socket: two lengths, JSON, and texts; descriptors go beside them.

Long texts follow the JSON as they are: whoever reads what foreign code may have written parses
little, however much there is.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

from mcp_servers.sandbox.confined import descriptors as passing

HEAD = struct.Struct("!II")
"""Bytes of JSON, and bytes of the texts after it."""
MAX_JSON = 64 << 20
MAX_TEXTS = 32 << 20
"""Bytes of a message's texts: a report with figures fits, a flood does not."""
TEXTS = "texts"
"""What a message holds its texts under; on the way, how many bytes each has."""
MAX_DESCRIPTORS = 4

Message = dict[str, Any]

_ENCODER = json.JSONEncoder()
_DECODER = json.JSONDecoder()
"""Asked for a value alone, for `json.loads` does much besides, all of which costs a fork pages."""


class BadFrame(Exception):
    """What came is no message."""


def pack(message: Message) -> bytes:
    """Return a message as it travels. Half characters in its texts are written as escapes."""
    texts = [text.encode("utf-8", "backslashreplace") for text in message.get(TEXTS, ())]
    body = _ENCODER.encode(message | {TEXTS: list(map(len, texts))}).encode()
    return b"".join((HEAD.pack(len(body), sum(map(len, texts))), body, *texts))


def parse(body: bytes | bytearray, json_length: int) -> Message:
    """Return the message in `body`, which begins with so many bytes of JSON.

    Raises:
        BadFrame: it is none.
    """
    try:
        text = body[:json_length].decode()
        message, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        raise BadFrame("not JSON") from None
    if not isinstance(message, dict) or end != len(text):
        raise BadFrame("not an object")
    lengths = message.get(TEXTS)
    message[TEXTS] = texts = []
    start = json_length
    for length in lengths if isinstance(lengths, list) else ():
        if not isinstance(length, int) or length < 0 or start + length > len(body):
            raise BadFrame("texts of other lengths than it says")
        texts.append(body[start : start + length].decode("utf-8", "replace"))
        start += length
    return message


def lengths_of(head: bytes | bytearray, max_json: int = MAX_JSON) -> tuple[int, int]:
    """Return how many bytes of JSON and of texts follow a head.

    Raises:
        BadFrame: more than a message may have.
    """
    in_json, in_texts = HEAD.unpack(head)
    if in_json > max_json or in_texts > MAX_TEXTS:
        raise BadFrame(f"{in_json} and {in_texts} bytes")
    return in_json, in_texts


def send(connection: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send a message, waiting for room.

    Raises:
        OSError: nobody listens any more.
    """
    rest = memoryview(pack(message))
    if descriptors:
        rest = rest[passing.send(connection, rest, descriptors) :]
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
            piece, more = passing.receive(connection, HEAD.size - len(head), MAX_DESCRIPTORS)
            descriptors += more
            if not piece:
                raise EOFError
            head += piece
        in_json, in_texts = lengths_of(head)
        return parse(_read(connection, in_json + in_texts), in_json), descriptors
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
