"""JSON-RPC over streamable HTTP, in both eras of MCP. Responses are handed on as they came.

Not on the SDK's client: it parses results into its own types, and what it makes up itself when a
connection breaks cannot be told from what the server said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx2
import orjson
from mcp.shared.inbound import encode_header_value, mcp_param_headers, x_mcp_header_map

from nodes.answers import NOT_CONNECTED, body_of, broke_off, origin_of, refusal, unreachable
from nodes.channel import MAX_LINE_BYTES, Reply
from nodes.handshake import STATELESS_VERSION
from nodes.inbox import CHECK_LIMIT_S, CHECK_S, Inbox, is_response
from nodes.lines import with_meta
from wire.errors import PlatformError, ServerError, ServerUnavailable

ACCEPT = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
}
SESSION = "mcp-session-id"
VERSION = "mcp-protocol-version"
GOODBYE_S = 1.0
SILENCE_S = 60.0
"""Silence of an open stream after which it is looked whether the server is still there."""

RESUME_S = 1.0
SHORTEST_RESUME_S = 0.01
LISTEN = b'{"notifications":{"toolsListChanged":true}}'


class _Forgotten(Exception):
    """The server does not know our session any more, so it ran nothing."""


@dataclass(slots=True)
class _Place:
    """Where a stream broke off, and how long the server wants us to wait before we go on."""

    last_id: str = ""
    pause_s: float = RESUME_S


class Streamable(Inbox):
    """A wire to one endpoint. Each request is a POST of its own, and its response the answer.

    Args:
        name: The tool server's name.
        url: The endpoint.
        client: Carries the entry's headers; closed by whoever made it.
        on_tools_changed: Called when the server says that its tools changed.
    """

    def __init__(
        self,
        name: str,
        url: str,
        client: httpx2.AsyncClient,
        on_tools_changed: Callable[[], None],
    ) -> None:
        super().__init__(name, origin_of(url), on_tools_changed)
        self._url = url
        self._client = client
        self._headers = dict(ACCEPT)
        self._mirrored: dict[str, dict[tuple[str, ...], str]] = {}

    async def open(self) -> None:
        """Do nothing: the first request connects."""

    async def request(self, method: bytes, params: bytes, timeout_s: float) -> Reply:
        """Send one request and return its response; see `Wire.request`.

        Raises:
            ServerUnavailable, Overloaded: nothing ran.
            CallTimedOut: no response in time; the server was told to stop.
            ServerCrashed: the connection broke after the request was sent.
            ServerError: an answer that is no JSON-RPC response.
        """
        self.refuse_if_ended()
        number = next(self.ids)
        try:
            async with self.patience(number, timeout_s):
                await self.greeted()
                reply = await self._post(number, method, params)
        except NOT_CONNECTED as error:
            self.spawn(self._check())
            raise unreachable(self.name, self.origin, error) from None
        except httpx2.HTTPError:
            self.spawn(self._check())
            raise broke_off(self.name, self.origin) from None
        except _Forgotten:
            self.finish("has forgotten our session")
            raise ServerUnavailable(
                f"Tool server {self.name!r} at {self.origin} has forgotten our session; a new one "
                "is being opened.",
                retry_after_s=1.0,
            ) from None
        if method == b"tools/list":
            self._learn(reply)
        return reply

    def listen(self) -> None:
        """Watch for changes of the tools, and for the server's death."""
        self.spawn(self._watch())

    async def close(self) -> None:
        """End the session at the server, if it keeps one."""
        self.finish("was left")
        await self.rest()
        if SESSION in self._headers:
            with suppress(httpx2.HTTPError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._client.delete(self._url, headers=self._headers)

    # One request.

    async def _post(self, number: int, method: bytes, params: bytes) -> Reply:
        headers = self._headers
        if self.request_meta is not None:
            params = with_meta(params, self.request_meta)
            headers = headers | self._stateless_headers(method, params)
        body = b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}' % (number, method, params)
        async with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
            reply = await self._read(answer, number)
            if method == b"initialize":
                self._agree(reply, answer)
            return reply

    async def _read(self, answer: httpx2.Response, number: int) -> Reply:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if answer.status_code == 200 and kind == "text/event-stream":
            return await self._read_stream(answer, number)
        raw = b""
        if kind == "application/json":
            raw = await body_of(self.name, self.origin, answer)
        with suppress(orjson.JSONDecodeError):
            message = orjson.loads(raw)
            if (
                is_response(message)
                and message.get("id") in (number, None)
                and (answer.status_code == 200 or "error" in message)
            ):
                return Reply(message, raw)
        if answer.status_code == 404 and SESSION in self._headers:
            raise _Forgotten
        raise refusal(self.name, self.origin, answer)

    async def _read_stream(self, answer: httpx2.Response, number: int) -> Reply:
        """Return the response that a stream brings; one that breaks off is resumed if it can be."""
        place = _Place()
        reply = await self._find(answer, number, place)
        while reply is None:
            if not place.last_id or SESSION not in self._headers:
                raise httpx2.RemoteProtocolError("the stream ended without a response")
            await asyncio.sleep(max(place.pause_s, SHORTEST_RESUME_S))
            headers = {**self._headers, "last-event-id": place.last_id}
            async with self._client.stream("GET", self._url, headers=headers) as resumed:
                if resumed.status_code != 200:
                    raise httpx2.RemoteProtocolError("the stream cannot be resumed")
                reply = await self._find(resumed, number, place)
        return reply

    async def _find(self, answer: httpx2.Response, number: int, place: _Place) -> Reply | None:
        """Read a stream up to the response, and note the place; None if it ends before that."""
        async for event in _events(answer):
            place.last_id = event.id or place.last_id
            if event.retry is not None:
                place.pause_s = event.retry / 1000
            reply = self.take(event.data)
            if reply is not None and reply.message.get("id") in (number, None):
                return reply
        return None

    def _agree(self, reply: Reply, answer: httpx2.Response) -> None:
        result = reply.message.get("result")
        if isinstance(result, dict):
            self.agreed = True
            self._headers[VERSION] = str(result.get("protocolVersion", ""))
            if session := answer.headers.get(SESSION):
                self._headers[SESSION] = session

    def _stateless_headers(self, method: bytes, params: bytes) -> dict[str, str]:
        """Return what must be said in headers too, so that gateways need not read the body."""
        headers = {VERSION: STATELESS_VERSION, "mcp-method": method.decode()}
        if method == b"tools/call":
            parsed = orjson.loads(params)
            name = parsed["name"]
            headers["mcp-name"] = encode_header_value(name)
            if mirrored := self._mirrored.get(name):
                headers |= mcp_param_headers(mirrored, parsed.get("arguments") or {})
        return headers

    def _learn(self, reply: Reply) -> None:
        """Note which arguments each tool wants mirrored in headers."""
        result = reply.message.get("result")
        tools = result.get("tools") if isinstance(result, dict) else None
        for tool in tools if isinstance(tools, list) else []:
            if isinstance(tool, dict) and isinstance(tool.get("inputSchema"), dict):
                self._mirrored[str(tool.get("name"))] = x_mcp_header_map(tool["inputSchema"])

    async def send(self, body: bytes) -> None:
        """Send what has no response; a failure shows at the next request."""
        with suppress(httpx2.HTTPError, PlatformError, TimeoutError):
            async with (
                asyncio.timeout(CHECK_LIMIT_S),
                self._client.stream(
                    "POST", self._url, content=body, headers=self._headers
                ) as answer,
            ):
                await body_of(self.name, self.origin, answer)

    # Watching.

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            with suppress(httpx2.HTTPError):
                await self._hear()
            if not await self._check():
                return
            # A stream that ends at once is not opened again at once.
            await asyncio.sleep(RESUME_S if clock() - began > CHECK_S else CHECK_S)

    async def _hear(self) -> None:
        """Listen to what the server says of itself, as long as it offers that and lives."""
        method, body, headers = "GET", b"", self._headers
        if self.request_meta is not None:
            params = with_meta(LISTEN, self.request_meta)
            method = "POST"
            body = b'{"jsonrpc":"2.0","id":%d,"method":"subscriptions/listen","params":%b}' % (
                next(self.ids),
                params,
            )
            headers = headers | self._stateless_headers(b"subscriptions/listen", params)
        patience = httpx2.Timeout(None, connect=CHECK_LIMIT_S, read=SILENCE_S)
        async with self._client.stream(
            method, self._url, content=body, headers=headers, timeout=patience
        ) as answer:
            kind = answer.headers.get("content-type", "")
            if answer.status_code != 200 or not kind.startswith("text/event-stream"):
                return
            if self.request_meta is None:
                # What was said before anybody listened is lost.
                self.on_tools_changed()
            async for event in _events(answer):
                if self.take(event.data) is not None:
                    return

    async def _check(self) -> bool:
        """Look whether the server still answers; if not, this wire has ended."""
        if self.ended.is_set():
            return False
        method = b"ping" if self.request_meta is None else b"server/discover"
        try:
            async with asyncio.timeout(CHECK_LIMIT_S):
                await self._post(next(self.ids), method, b"{}")
        except httpx2.HTTPError:
            self.finish("cannot be reached any more")
        except _Forgotten:
            self.finish("has forgotten our session")
        except (TimeoutError, PlatformError) as error:
            # One that is busy with a call may be slow to answer.
            lasting = isinstance(error, ServerError)
            if not (self.busy or lasting):
                self.finish("does not answer any more")
        return not self.ended.is_set()


async def _events(answer: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
    async for event in httpx2.EventSource(answer, max_event_size=MAX_LINE_BYTES):
        yield event
