"""A remote MCP server over HTTP that keeps all it got, and misbehaves as it is told.

An ASGI application: streamable HTTP of one era at `/mcp`, or legacy SSE at `/sse`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from wire.faces.http import Receive, Scope, Send, read_body

Message = dict[str, Any]
STATELESS = "2026-07-28"
SESSION = "session-1"

ODD: Message = {
    "content": [
        {"type": "hologram", "beam": [1, 2], "x-depth": None},
        {"type": "text", "text": "é"},
    ],
    "structuredContent": {"n": 1.5},
    "isError": False,
    "inventedLater": {"kept": True},
    "_meta": {"vendor/key": "v"},
}
"""A result with fields and content types that nobody knows."""

ERROR = {"code": -32042, "message": "bad moon", "data": {"phase": "new"}, "hint": "wait"}


class Broken(Exception):
    """The connection breaks off here."""


@dataclass
class Seen:
    """A request as it came."""

    method: str
    headers: dict[str, str]
    message: Message


@dataclass
class ScriptedRemote:
    """One remote server.

    `era` is `stateless`, `handshake` or `sse`; `streams` whether responses come as event streams;
    `resumable` whether a stream breaks once and is resumed; `status` refuses every request with it;
    `floods_notices` answers a notification without end.
    """

    era: str = "stateless"
    streams: bool = False
    resumable: bool = False
    status: int = 0
    forgets: bool = False
    floods_notices: bool = False
    tools: list[str] = field(default_factory=lambda: ["echo", "odd", "error", "wait", "break"])
    seen: list[Seen] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)
    dropped: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: set[asyncio.Queue[Message]] = field(default_factory=set)
    held: list[Message] = field(default_factory=list)

    def text(self) -> str:
        """Return everything that ever came, as one text."""
        return "\n".join(json.dumps([s.method, s.headers, s.message]) for s in self.seen)

    def calls(self) -> list[Message]:
        """Return the params of all calls."""
        return [s.message["params"] for s in self.seen if s.message.get("method") == "tools/call"]

    def say(self, method: str) -> None:
        """Send a notification to all that listen."""
        for listener in self.listeners:
            listener.put_nowait({"jsonrpc": "2.0", "method": method})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            while (kind := (await receive())["type"]) != "lifespan.shutdown":
                await send({"type": f"{kind}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        body = await read_body(receive, 10**7)
        message = json.loads(body) if body else {}
        self.seen.append(Seen(scope["method"], headers, message))
        answer = _Answer(receive, send)
        try:
            await self._answer(scope, headers, message, answer)
        except Broken:
            # What uvicorn does to an application that stops before the end.
            await answer.start(200, "text/event-stream", {"content-length": "1000"})

    async def _answer(
        self, scope: Scope, headers: dict[str, str], message: Message, answer: _Answer
    ) -> None:
        if self.status:
            await answer.whole(self.status, b"go away", "text/plain")
        elif scope["method"] == "GET" and self.era == "stateless":
            await answer.whole(405, b"", "text/plain")
        elif scope["method"] == "GET":
            await self._stream(scope, headers, answer)
        elif scope["method"] == "DELETE":
            await answer.whole(200, b"", "text/plain")
        elif message.get("method") == "subscriptions/listen":
            await self._listen(answer, self._acknowledged)
        elif "id" not in message or "method" not in message:
            self.told.append(message)
            if self.floods_notices:
                await flood(answer)
                return
            await answer.whole(202, b"", "text/plain")
        else:
            await self._respond(headers, message, answer)

    async def _stream(self, scope: Scope, headers: dict[str, str], answer: _Answer) -> None:
        if headers.get("last-event-id") == "again":
            await break_again(answer)
        elif "last-event-id" in headers and self.held:
            await answer.start(200, "text/event-stream")
            await answer.event(self.held.pop())
            await answer.end()
        else:
            await self._listen(answer, self._endpoint if self.era == "sse" else _nothing)

    async def _listen(self, answer: _Answer, begin: Callable[[_Answer], Awaitable[None]]) -> None:
        listener: asyncio.Queue[Message] = asyncio.Queue()
        self.listeners.add(listener)
        await answer.start(200, "text/event-stream")
        waits: set[asyncio.Future[Any]] = set()
        try:
            await begin(answer)
            waits.add(gone := asyncio.ensure_future(answer.gone()))
            while not gone.done():
                waits.add(get := asyncio.ensure_future(listener.get()))
                await asyncio.wait([gone, get], return_when=asyncio.FIRST_COMPLETED)
                if get.done():
                    await answer.event(get.result())
        finally:
            self.listeners.discard(listener)
            for wait in waits:
                wait.cancel()

    async def _endpoint(self, answer: _Answer) -> None:
        await answer.write(b"event: endpoint\r\ndata: /messages?id=1\r\n\r\n")

    async def _acknowledged(self, answer: _Answer) -> None:
        await answer.event(
            {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}}
        )

    async def _respond(self, headers: dict[str, str], message: Message, answer: _Answer) -> None:
        if self.forgets and headers.get("mcp-session-id") == SESSION:
            self.forgets = False
            await answer.whole(404, b"no such session", "text/plain")
            return
        name = (message.get("params") or {}).get("name")
        if self.era == "sse":
            await answer.whole(202, b"Accepted", "text/plain")
        if name in STRANGE:
            await STRANGE[name](answer)
            return
        if name == "wait":
            await self._wait(answer)
        response = {"jsonrpc": "2.0", "id": message["id"], **self._result(message, name)}
        if self.era == "sse":
            for listener in self.listeners:
                listener.put_nowait(response)
        elif self.resumable and name:
            self.held.append(response)
            await answer.start(200, "text/event-stream")
            await answer.write(b"id: e1\nretry: 10\ndata: \n\n")
            await answer.end()
        elif self.streams and message["method"] != "initialize":
            await answer.start(200, "text/event-stream")
            await answer.write(b": a comment\n\n")
            await answer.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
            await answer.event(response)
            await answer.end()
        else:
            extra = {"mcp-session-id": SESSION} if message["method"] == "initialize" else {}
            body = json.dumps(response).encode()
            await answer.whole(200, body, "application/json", extra)

    async def _wait(self, answer: _Answer) -> None:
        if self.era == "sse":
            await self.released.wait()
            return
        gone = asyncio.ensure_future(answer.gone())
        released = asyncio.ensure_future(self.released.wait())
        await asyncio.wait([gone, released], return_when=asyncio.FIRST_COMPLETED)
        released.cancel()
        if gone.done():
            self.dropped += 1
        gone.cancel()

    def _result(self, message: Message, name: str | None) -> Message:
        method = message["method"]
        if method == "initialize" and self.era != "stateless":
            info = {"name": "remote", "version": "1"}
            version = message["params"]["protocolVersion"]
            return {"result": {"protocolVersion": version, "capabilities": {}, "serverInfo": info}}
        if method == "server/discover" and self.era == "stateless":
            return {"result": {"supportedVersions": [STATELESS], "capabilities": {}}}
        if method == "ping":
            return {"result": {}}
        if method == "tools/list":
            schema = {"type": "object"}
            return {"result": {"tools": [{"name": n, "inputSchema": schema} for n in self.tools]}}
        if method == "tools/call" and name == "break":
            raise Broken
        if method == "tools/call" and name == "odd":
            return {"result": ODD}
        if method == "tools/call" and name == "error":
            return {"error": ERROR}
        if method == "tools/call":
            arguments = json.dumps(message["params"].get("arguments"))
            return {"result": {"content": [{"type": "text", "text": arguments}]}}
        return {"error": {"code": -32601, "message": "Method not found"}}


async def _nothing(_: _Answer) -> None:
    return


async def flood(answer: _Answer) -> None:
    """Answer with JSON that never ends."""
    await answer.start(200, "application/json")
    await answer.write(b'{"jsonrpc": "2.0", "result": "')
    gone = asyncio.ensure_future(answer.gone())
    while not gone.done():
        await answer.write(b"x" * 100_000)
        await asyncio.sleep(0)


async def break_again(answer: _Answer) -> None:
    """Break a stream off with the wish that it be resumed at once."""
    await answer.start(200, "text/event-stream")
    await answer.write(b"id: again\nretry: 0\ndata: \n\n")
    await answer.end()


async def mix_up(answer: _Answer) -> None:
    """Answer with the response to somebody else's request."""
    theirs = b'{"jsonrpc": "2.0", "id": 999999, "result": {"content": []}}'
    await answer.whole(200, theirs, "application/json")


STRANGE: dict[str | None, Callable[[_Answer], Awaitable[None]]] = {
    "flood": flood,
    "break_again": break_again,
    "mix_up": mix_up,
}
"""Tools that a server need not list to misbehave in them."""


class _Answer:
    """Writes one HTTP answer."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def gone(self) -> None:
        """Return when the client has hung up."""
        while (await self._receive())["type"] != "http.disconnect":
            continue

    async def start(self, status: int, kind: str, extra: dict[str, str] | None = None) -> None:
        headers = {"content-type": kind} | (extra or {})
        encoded = [(k.encode(), v.encode()) for k, v in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def event(self, message: Message) -> None:
        await self.write(b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n")

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def whole(
        self, status: int, body: bytes, kind: str, extra: dict[str, str] | None = None
    ) -> None:
        await self.start(status, kind, {"content-length": str(len(body)), **(extra or {})})
        await self._send({"type": "http.response.body", "body": body})
