"""The server's end of a socket on which the confined side sends messages (confined/frames.py).

What comes may be forged by foreign code: it is bounded, and its form is checked by whoever uses it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial

from mcp_servers.sandbox.confined.frames import HEAD, BadFrame, Message, lengths_of, pack, parse

PIECE = 1 << 18
MAX_JSON = 1 << 16
"""Bytes of JSON in what comes, beside its texts: to parse more would keep all others waiting."""


class Gone(Exception):
    """The other side closed its end, or sent what is no message."""


class Conversation:
    """Sends and receives messages. One task may send and another receive, at the same time.

    Args:
        connection: The socket; `close` closes it.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._sending = asyncio.Lock()
        self._buffer = bytearray()
        self._gone = False
        self._loop = asyncio.get_running_loop()
        self._reads = False
        self._heard: Callable[[], None] | None = None
        self._room: asyncio.Future[None] | None = None

    async def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message, with copies of some descriptors.

        Raises:
            Gone: nobody listens any more.
        """
        rest = memoryview(pack(message))
        async with self._sending:
            try:
                while rest:
                    try:
                        if descriptors:
                            sent = socket.send_fds(self._connection, [rest], list(descriptors))
                        else:
                            sent = self._connection.send(rest)
                    except BlockingIOError:
                        await self._have_room()
                        continue
                    descriptors = ()
                    rest = rest[sent:]
            except (OSError, ValueError):
                raise Gone from None

    async def receive(self) -> Message:
        """Wait for a message. Cancelled, it loses nothing of one that is half here.

        Raises:
            Gone: none will come.
        """
        try:
            while (message := self._next()) is None:
                heard = self._loop.create_future()
                if not self._heed(partial(_resolve, heard)):
                    raise Gone
                await heard
        except (ValueError, BadFrame):
            raise Gone from None
        finally:
            self._heard = None
        return message

    def listen(self, note: Callable[[Message], None], note_end: Callable[[], None]) -> None:
        """Have `note` called with each message from now on, and `note_end` once none will come.

        It takes less than a task that receives them.
        """

        def tell() -> None:
            try:
                while (message := self._next()) is not None:
                    note(message)
            except (ValueError, BadFrame):
                self._read_no_more()
            if not self._reads:
                self._heard = None
                note_end()

        self._heed(tell)
        tell()

    def _next(self) -> Message | None:
        """Take a message from what has come, if a whole one has."""
        if len(self._buffer) < HEAD.size:
            return None
        in_json, in_texts = lengths_of(self._buffer[: HEAD.size], MAX_JSON)
        end = HEAD.size + in_json + in_texts
        if len(self._buffer) < end:
            return None
        body = self._buffer[HEAD.size : end]
        del self._buffer[:end]
        return parse(body, in_json)

    def is_idle(self) -> bool:
        """Whether the other side is there and has said nothing that was not received."""
        if self._buffer:
            return False
        try:
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the socket; whoever waits on it is told that the other side is gone."""
        descriptor = self._connection.fileno()
        if descriptor >= 0:
            self._gone = True
            self._read_no_more()
            self._loop.remove_writer(descriptor)
            self._connection.close()
            if self._heard is not None:
                self._heard()
            if self._room is not None:
                _resolve(self._room)

    def _heed(self, heard: Callable[[], None]) -> bool:
        """Have `heard` called when something has been read; return whether anything may come.

        anyio's `wait_readable` would stop waiting for a descriptor that was closed, and is another
        conversation's by the time that it runs again: then that one waits for ever.
        """
        self._heard = heard
        if not self._gone and not self._reads:
            self._loop.add_reader(self._connection.fileno(), self._read)
            self._reads = True
        return not self._gone

    def _read(self) -> None:
        """Take one piece. The loop calls this for as long as somebody waits for what comes."""
        if self._heard is None:
            self._read_no_more()
            return
        try:
            piece = self._connection.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._gone = True
            self._read_no_more()
        self._buffer += piece
        self._heard()

    def _read_no_more(self) -> None:
        if self._reads:
            self._loop.remove_reader(self._connection.fileno())
            self._reads = False

    async def _have_room(self) -> None:
        """Wait until the socket takes more, or is closed."""
        descriptor = self._connection.fileno()
        self._room = self._loop.create_future()
        self._loop.add_writer(descriptor, _resolve, self._room)
        try:
            await self._room
        finally:
            if self._connection.fileno() >= 0:
                self._loop.remove_writer(descriptor)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
