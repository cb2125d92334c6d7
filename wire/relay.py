"""Passes a request on to another HTTP server and its answer back, both as streams.

Nothing is read or kept on the way: memory stays the same whatever the size, and whoever is slow
slows the other one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence

import httpcore

from wire.errors import BadRequest, PlatformError, TransferStalled
from wire.faces.http import HungUp, Message, Receive, Scope, Send, unless_hung_up

log = logging.getLogger(__name__)

IDLE_S = 30.0
"""How long nothing may move, in either direction, before a transfer is given up."""
CONNECT_S = 2.0

Headers = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_STAYS_HERE = frozenset({b"host", b"expect", b"authorization", b"x-api-key", b"cookie"})
"""What is between the caller and us: who it is, and where it thought to find us."""
_OURS = b"x-agentdock-"
"""What we say ourselves; nobody else's word on it is passed on."""

_NOT_REACHED = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout)
_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError)


class NotReached(Exception):
    """The other server could not be connected: nothing was sent, the body is still to be read."""


class NotKnown(Exception):
    """The other server does not know us: nothing happened, but the body may have been read."""


class BrokenOff(Exception):
    """The other server went away before it answered: it may have done what was asked."""


class Relay:
    """Passes requests on over a pool of connections.

    Args:
        pool: Connects to the other server.
        idle_s: Seconds without a byte, after which a transfer is given up.
        unknown: Statuses by which the other server says that it does not know us.
    """

    def __init__(
        self,
        pool: httpcore.AsyncConnectionPool,
        idle_s: float = IDLE_S,
        unknown: Collection[int] = (),
    ) -> None:
        self._pool = pool
        self._idle_s = idle_s
        self._unknown = unknown

    async def pass_on(
        self, scope: Scope, receive: Receive, send: Send, origin: str, headers: Headers
    ) -> None:
        """Pass one request on, its path and query as they were sent, and the answer back.

        When the answer breaks off in the middle, so does ours: the caller sees it end too early.

        Args:
            scope: The request.
            receive: Its body.
            send: Takes the answer.
            origin: The other server, such as `http://127.0.0.1:8014`.
            headers: What to say beside the caller's own headers.

        Raises:
            NotReached: nothing was sent.
            NotKnown: it answered with one of the statuses that say so.
            BrokenOff: the connection broke before there was an answer.
            TransferStalled: nothing moved for `idle_s` before there was an answer.
            HungUp: the caller went away; so the other server is left as well.
        """
        body = _Body(receive, self._idle_s)
        request = httpcore.Request(
            scope["method"],
            _url(origin, scope),
            headers=[*_inward(scope["headers"], origin), *headers],
            content=body.pieces() if _has_body(scope["headers"]) else body.none(),
            extensions={
                "timeout": {
                    "connect": CONNECT_S,
                    "read": self._idle_s,
                    "write": self._idle_s,
                    "pool": CONNECT_S,
                }
            },
        )
        # Only one of us may read the body, so the watch for a hang-up begins where it ends.
        await unless_hung_up(body.after, self._exchange(request, body, send))

    async def _exchange(self, request: httpcore.Request, body: _Body, send: Send) -> None:
        try:
            response = await self._pool.handle_async_request(request)
        except _NOT_REACHED as error:
            raise NotReached(str(error) or type(error).__name__) from None
        except httpcore.LocalProtocolError as error:
            raise BadRequest(f"The request cannot be passed on: {error}.") from None
        except httpcore.TimeoutException:
            raise _stalled(self._idle_s) from None
        except _BROKEN as error:
            raise BrokenOff(str(error) or type(error).__name__) from None
        body.ended.set()
        try:
            if response.status in self._unknown:
                raise NotKnown(f"it answered HTTP {response.status}")
            await self._answer(response, send)
        finally:
            await response.aclose()

    async def _answer(self, response: httpcore.Response, send: Send) -> None:
        headers = [
            (name.lower(), value)
            for name, value in response.headers
            if name.lower() not in _HOP_BY_HOP
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        try:
            async for piece in response.aiter_stream():
                async with asyncio.timeout(self._idle_s):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except (*_BROKEN, httpcore.TimeoutException, TimeoutError) as error:
            # Returning short of the end makes the server close the connection.
            log.warning("an answer broke off on the way: %s", str(error) or type(error).__name__)
            return
        await send({"type": "http.response.body", "body": b""})


class _Body:
    """A request's body, piece by piece, and what comes after it.

    Args:
        receive: Gives the pieces.
        idle_s: Seconds that the next piece may take.
    """

    def __init__(self, receive: Receive, idle_s: float) -> None:
        self._receive = receive
        self._idle_s = idle_s
        self.ended = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            HungUp: the caller left before it had sent everything.
            TransferStalled: the caller sent nothing for too long.
        """
        more = True
        while more:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise HungUp
            more = message.get("more_body", False)
            piece = message.get("body", b"")
            if piece:
                yield piece
        self.ended.set()

    async def none(self) -> AsyncIterator[bytes]:
        """Yield nothing: there is no body."""
        self.ended.set()
        return
        yield b""

    async def after(self) -> Message:
        """Return the next message when everything that we pass on was read."""
        await self.ended.wait()
        try:
            return await self._receive()
        except PlatformError:
            # More than it may send, of what nobody waits for any more.
            return {"type": "http.disconnect"}

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._idle_s):
                return await self._receive()
        except TimeoutError:
            raise _stalled(self._idle_s) from None


def _url(origin: str, scope: Scope) -> httpcore.URL:
    """Return where to send a request: its path exactly as it came."""
    to = httpcore.URL(origin)
    query: bytes = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=target)


def _inward(headers: Headers, origin: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that travel on."""
    named = {
        name.strip().lower()
        for key, value in headers
        if key == b"connection"
        for name in value.split(b",")
    }
    dropped = _HOP_BY_HOP | _STAYS_HERE | named
    kept = [
        (name, value)
        for name, value in headers
        if name not in dropped and not name.startswith(_OURS)
    ]
    if any(name == b"transfer-encoding" for name, _ in headers):
        kept.append((b"transfer-encoding", b"chunked"))
    return [(b"host", origin.partition("://")[2].encode()), *kept]


def _has_body(headers: Headers) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


def _stalled(idle_s: float) -> TransferStalled:
    return TransferStalled(f"Nothing moved for {idle_s:g} s, so the transfer was given up.")
