"""A remote tool server: one connection to it, from its beginning until it cannot be reached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import httpx2
import orjson

from nodes.answers import origin_of
from nodes.channel import Reply
from nodes.entries import Place
from nodes.handshake import HandshakeFailed, Wire, list_tools, shake_hands
from nodes.legacy_sse import LegacySse
from nodes.streamable import Streamable
from wire.entry import Transport
from wire.errors import CallTimedOut, PlatformError, ServerError

log = logging.getLogger(__name__)

OURS = "agentdock/"
"""Prefix of the keys in `_meta` that are the platform's own and never leave it."""

CONNECT_S = 10.0
MAX_CONNECTIONS = 500


class RemoteWire(Wire, Protocol):
    """A wire over HTTP, which also opens, listens and closes."""

    ended: asyncio.Event
    """Set when the server cannot be reached any more; `reason` says why."""

    reason: str | None

    async def open(self) -> None:
        """Connect, as far as there is something to connect before the first request.

        Raises:
            PlatformError: it cannot be reached, or refuses us.
        """
        ...

    def listen(self) -> None:
        """Watch from now on for changes of the tools, and for the server's death."""
        ...

    async def close(self) -> None:
        """Say goodbye and let go; what is in flight fails. Takes a bounded time, raises nothing."""
        ...


class Remote:
    """Keeps the promises of `Life` with a service at a URL.

    Args:
        name: The tool server's name.
        place: Where it is, and what to send with each request.
        timeout_s: Seconds for each request of the handshake.
        on_tools_changed: Called when it says that its tools changed.
    """

    pid = None

    def __init__(
        self, name: str, place: Place, timeout_s: float, on_tools_changed: Callable[[], None]
    ) -> None:
        self._timeout_s = timeout_s
        self._client = httpx2.AsyncClient(
            headers=dict(place.headers),
            timeout=httpx2.Timeout(None, connect=CONNECT_S, read=None),
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS),
        )
        kind = LegacySse if place.transport is Transport.SSE else Streamable
        self._wire: RemoteWire = kind(name, place.url, self._client, on_tools_changed)
        self._newest_first = place.transport is not Transport.SSE
        self._idle = asyncio.Event()
        self.where = origin_of(place.url)
        self.files = None
        self.ended = self._wire.ended
        self.in_flight = 0
        self.away = False

    async def begin(self) -> list[dict[str, Any]]:
        """Connect and learn its tools; see `Life.begin`."""
        self.away = True
        try:
            await self._wire.open()
            # A service that keeps nothing for us has nothing that could expire.
            await shake_hands(self._wire, self._timeout_s, self._newest_first)
            tools = await self.list_tools()
        except (HandshakeFailed, ServerError):
            self.away = False
            raise
        self._wire.listen()
        return tools

    async def list_tools(self) -> list[dict[str, Any]]:
        """Return the definitions of its tools; see `Life.list_tools`."""
        return await list_tools(self._wire, self._timeout_s)

    async def request(self, params: bytes, timeout_s: float) -> Reply:
        """Send one `tools/call` without what is the platform's own; see `Life.request`."""
        self.in_flight += 1
        try:
            return await self._wire.request(b"tools/call", for_strangers(params), timeout_s)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight; see `Life.idle`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.in_flight:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def end(self) -> None:
        """Close the connection; see `Life.end`."""
        await self._wire.close()
        await self._client.aclose()

    def explain(self, failure: Exception | None) -> str:
        """Say why the connection ended; see `Life.explain`."""
        if isinstance(failure, HandshakeFailed):
            return f"The server at {self.where} cannot be used: {failure}."
        if isinstance(failure, TimeoutError | CallTimedOut):
            return (
                f"The server at {self.where} did not complete the MCP handshake within "
                f"{self._timeout_s:g} s. Check `url`, and `type` (http or sse)."
            )
        if isinstance(failure, PlatformError):
            return failure.detail
        if failure is not None:
            # Of a foreign error only its kind is told: its text could quote a header.
            return f"The server at {self.where} cannot be used: {type(failure).__name__}."
        return f"The server at {self.where} {self._wire.reason or 'was left'}."


def for_strangers(params: bytes) -> bytes:
    """Return the params of a call without the `_meta` keys that are the platform's own."""
    parsed = orjson.loads(params)
    meta = parsed.get("_meta")
    if isinstance(meta, Mapping):
        kept = {key: value for key, value in meta.items() if not key.startswith(OURS)}
        parsed["_meta"] = kept
        if not kept:
            del parsed["_meta"]
    return orjson.dumps(parsed)
