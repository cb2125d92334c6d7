"""The only code that speaks to a node: calls over kept connections, probes, requests to control.

Written on asyncio.Protocol because a general HTTP client costs several times the whole budget of a
call and stops at a hundred connections.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol
from urllib.parse import quote, urlsplit

import orjson

from manager.connection import Connection
from wire import link
from wire.errors import (
    CallTimedOut,
    Forbidden,
    HostRefused,
    NodeLost,
    NotFound,
    PlatformError,
    Unauthorized,
    from_problem,
)

MAX_REPLY = 80 * 1024 * 1024
"""Longest reply, in bytes: more than the longest line that a node takes from a tool server."""
MAX_IDLE = 1024
IDLE_S = 60.0
CONNECT_S = 2.0

_NOT_KNOWN = (Unauthorized, Forbidden, HostRefused, NotFound)
"""Answers of a node that does not know us or the tool server, and so ran nothing."""


class NotAccepted(Exception):
    """The node did not take the request: nothing ran, another node may be asked."""


class Target(Protocol):
    """A node, as far as the link needs to know it."""

    @property
    def id(self) -> str:
        """The node's id."""
        ...

    @property
    def url(self) -> str:
        """Where it listens, such as `http://127.0.0.1:8014`."""
        ...


class _Pool:
    """The connections to one node at one address."""

    __slots__ = (
        "_node",
        "_secret",
        "address",
        "busy",
        "closed",
        "heads",
        "host",
        "idle",
        "tls",
        "url",
    )

    def __init__(self, node: str, url: str, secret: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.tls = parts.scheme == "https"
        self.address = (parts.hostname or "", parts.port or (443 if self.tls else 80))
        self.host = parts.netloc
        self.idle: list[Connection] = []
        self.busy: set[Connection] = set()
        self.heads: dict[str, bytes] = {}
        self.closed = False
        self._node = node
        self._secret = secret

    def head(self, method: str, path: str) -> bytes:
        """Return the beginning of a request, up to the last fixed header."""
        lines = (
            f"{method} {path} HTTP/1.1",
            f"host: {self.host}",
            f"authorization: Bearer {self._secret}",
            "content-type: application/json",
            "",
        )
        return "\r\n".join(lines).encode()

    def link_head(self, server: str) -> bytes:
        """Return the beginning of a call to a tool server; made once for each."""
        head = self.head("POST", link.PATH + quote(server, safe="")) + link.CALL_ID + b": "
        self.heads[server] = head
        return head

    def take(self) -> Connection | None:
        """Return a kept connection that is alive; the one used last comes first."""
        while self.idle:
            connection = self.idle.pop()
            if connection.alive:
                return connection
        return None

    def give(self, connection: Connection) -> None:
        """Keep a connection whose reply ended, unless there are enough."""
        self.busy.discard(connection)
        if not connection.alive:
            return
        if self.closed or len(self.idle) >= MAX_IDLE:
            connection.close()
            return
        connection.idle_since = now = time.monotonic()
        self.idle.append(connection)
        if now - self.idle[0].idle_since > IDLE_S:
            self.idle.pop(0).close()

    def close(self, error: PlatformError) -> None:
        """Close every connection for good; calls on them fail with `error`."""
        self.closed = True
        idle, self.idle = self.idle, []
        busy, self.busy = self.busy, set()
        for connection in (*idle, *busy):
            connection.fail(error)


class NodeLink:
    """Speaks to nodes.

    Args:
        secret: AGENTDOCK_SECRET, which nodes ask for.
        max_reply: Longest reply taken, in bytes.
        connect_s: Seconds that a node has to accept a connection.
    """

    def __init__(
        self, secret: str, *, max_reply: int = MAX_REPLY, connect_s: float = CONNECT_S
    ) -> None:
        self._secret = secret
        self._max_reply = max_reply
        self._connect_s = connect_s
        self._pools: dict[str, _Pool] = {}

    async def post(
        self,
        node: Target,
        server: str,
        params: bytes,
        call_id: str,
        timeout_s: float,
        owner: str | None = None,
    ) -> bytes:
        """Hand a call to a node and return the tool server's JSON-RPC response as it came.

        Cancelling closes the connection, by which the node learns of it.

        Args:
            node: The node that gets the call.
            server: The tool server on it.
            params: The `params` of an MCP `tools/call`, in one line.
            call_id: The call's id, ASCII.
            timeout_s: Seconds that this may take in all.
            owner: Whose call it is, where the node must know it.

        Raises:
            NotAccepted: nothing was sent; nothing ran.
            NodeLost: the connection broke after that; the call may have run.
            CallTimedOut: no answer within `timeout_s`.
            PlatformError: what the node said, as it said it.
        """
        pool = self._pools.get(node.id)
        if pool is None or pool.url != node.url:
            pool = self._pool(node)
        connection = pool.take()
        if connection is None:
            started = time.monotonic()
            connection = await self._connect(node, pool, timeout_s)
            timeout_s -= time.monotonic() - started
        head = pool.heads.get(server) or pool.link_head(server)
        request = b"%b%b\r\n%b%b: %.3f\r\ncontent-length: %d\r\n\r\n%b" % (
            head,
            call_id.encode(),
            b"" if owner is None else _owner_line(owner),
            link.TIMEOUT,
            link.inner_timeout(timeout_s),
            len(params),
            params,
        )
        body = await _exchange(pool, connection, request, timeout_s)
        if connection.status != 200:
            error = _problem(node, connection.status, body)
            if isinstance(error, _NOT_KNOWN):
                raise NotAccepted(f"{node.id} refused the manager: {error.detail}")
            raise error
        return body

    async def control(
        self,
        node: Target,
        path: str,
        timeout_s: float,
        method: str = "POST",
        owner: str | None = None,
        content: bytes = b"{}",
    ) -> bytes:
        """Send a request to a route of the node's own; return the answer's body.

        Raises:
            NotAccepted, NodeLost, CallTimedOut, PlatformError: as `post` does.
        """
        pool = self._pool(node)
        connection = pool.take() or await self._connect(node, pool, timeout_s)
        owner_line = b"" if owner is None else _owner_line(owner)
        head = pool.head(method, path) + owner_line
        request = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(content), content)
        body = await _exchange(pool, connection, request, timeout_s)
        if connection.status >= 300:
            raise _problem(node, connection.status, body)
        return body

    async def probe(self, node: Target, timeout_s: float) -> bool:
        """Return whether the node answers `/livez` over a fresh connection in time."""
        pool = _Pool(node.id, node.url, self._secret)
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connect(node, pool, timeout_s)
                await _exchange(pool, connection, pool.head("GET", "/livez") + b"\r\n", timeout_s)
        except (NotAccepted, PlatformError, TimeoutError):
            return False
        finally:
            pool.close(_gone(node.id))
        return 200 <= connection.status < 300

    def drop(self, node_id: str) -> None:
        """Fail every call that is in flight on a node with NodeLost, and close its connections."""
        pool = self._pools.pop(node_id, None)
        if pool is not None:
            pool.close(_gone(node_id))

    def close(self) -> None:
        """Drop all nodes. Safe to call twice."""
        for node_id in list(self._pools):
            self.drop(node_id)

    def _pool(self, node: Target) -> _Pool:
        pool = self._pools.get(node.id)
        if pool is None or pool.url != node.url:
            self.drop(node.id)
            pool = self._pools[node.id] = _Pool(node.id, node.url, self._secret)
        return pool

    async def _connect(self, node: Target, pool: _Pool, timeout_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        limit_s = min(timeout_s, self._connect_s)
        try:
            async with asyncio.timeout(limit_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, node.id, self._max_reply),
                    *pool.address,
                    ssl=True if pool.tls else None,
                )
        except TimeoutError:
            if timeout_s < self._connect_s:
                # Whoever gives so little time learns nothing about the node by it.
                raise CallTimedOut(f"No connection to {node.id} within {timeout_s:g} s.") from None
            raise NotAccepted(f"{node.id} did not accept a connection in {limit_s:g} s") from None
        except OSError as error:
            raise NotAccepted(f"{node.id}: {error.strerror or error}") from None
        if pool.closed:
            connection.close()
            raise NotAccepted(f"{node.id} was judged lost meanwhile")
        return connection


async def _exchange(pool: _Pool, connection: Connection, request: bytes, timeout_s: float) -> bytes:
    """Send a request and return the reply's body; the connection goes back to the pool."""
    pool.busy.add(connection)
    waiter = connection.send(request)
    timer = asyncio.get_running_loop().call_later(timeout_s, _expire, connection, timeout_s)
    try:
        return await waiter
    except asyncio.CancelledError:
        connection.close()
        raise
    finally:
        timer.cancel()
        pool.give(connection)


def _owner_line(owner: str) -> bytes:
    return b"%b: %b\r\n" % (link.OWNER, link.owner_value(owner))


def _expire(connection: Connection, timeout_s: float) -> None:
    connection.fail(CallTimedOut(f"No answer within {timeout_s:g} s; the tool was told to stop."))


def _gone(node_id: str) -> NodeLost:
    return NodeLost(f"Node {node_id} is lost; the call may have run.", node=node_id)


def _problem(node: Target, status: int, body: bytes) -> PlatformError:
    """Restore what the node said."""
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = None
    if not isinstance(problem, dict):
        return NodeLost(f"Node {node.id} answered HTTP {status} without a reason.", node=node.id)
    return from_problem(problem)
