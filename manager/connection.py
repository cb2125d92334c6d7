"""One kept HTTP/1.1 connection to a node: one request at a time, its reply, its end."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from wire.errors import NodeLost, PlatformError, ServerError


class Connection(asyncio.Protocol):
    """Sends a request and collects the reply.

    A connection is in the pool while it is idle, and nowhere while it is busy. Whatever goes wrong
    closes it: only a connection whose last reply ended cleanly is used again.
    """

    __slots__ = (
        "_body",
        "_clean",
        "_loop",
        "_max_reply",
        "_node",
        "_parser",
        "_size",
        "_transport",
        "_waiter",
        "alive",
        "idle_since",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, node: str, max_reply: int) -> None:
        self._loop = loop
        self._node = node
        self._max_reply = max_reply
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[bytes] | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._clean = False
        self.alive = False
        self.idle_since = 0.0
        self.status = 0

    def send(self, request: bytes) -> asyncio.Future[bytes]:
        """Write a whole request; the future gives the reply's body, `status` its status.

        The future raises NodeLost if the connection breaks, ServerError if the reply is too long.
        """
        waiter = self._waiter = self._loop.create_future()
        self._clean = False
        assert self._transport is not None
        self._transport.write(request)
        return waiter

    def fail(self, error: BaseException) -> None:
        """End the connection; who waits for a reply gets `error`."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.close()

    def close(self) -> None:
        """Close the socket at once, so that the node sees the hang-up."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self.alive = True

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.alive = False
        if self._waiter is not None:
            self.fail(self._lost("broke the connection" if exc else "closed the connection"))

    def eof_received(self) -> None:
        """See asyncio.Protocol; the node will say nothing more, so it ends here."""
        self.alive = False

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._waiter is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(self._lost("sent something that is not HTTP"))
            return
        if self._clean:
            self._finish()

    def on_headers_complete(self) -> None:
        """See httptools."""
        self.status = self._parser.get_status_code()
        self.alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._size += len(body)
        if self._size > self._max_reply:
            self.fail(ServerError(f"The tool's answer is over {self._max_reply} bytes."))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._clean = True

    def _finish(self) -> None:
        """Hand over the reply; only now, so that nobody reuses a parser that is still at work."""
        parts, self._body, self._size = self._body, [], 0
        waiter, self._waiter = self._waiter, None
        if not self.alive:
            self.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(parts[0] if len(parts) == 1 else b"".join(parts))

    def _lost(self, what: str) -> PlatformError:
        return NodeLost(
            f"Node {self._node} {what} after it may have accepted the call, which may have run.",
            node=self._node,
        )
