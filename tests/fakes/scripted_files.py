"""A files server that does as it is told: it answers, stalls, floods or breaks off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Visit:
    """One request: its first line, its headers as they came, and the connection."""

    line: str
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def body(self) -> bytes:
        """Return the whole body, of a known length or in chunks."""
        headers = dict(self.headers)
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        if "transfer-encoding" not in headers:
            return b""
        parts = []
        while size := int(await self.reader.readline(), 16):
            parts.append(await self.reader.readexactly(size))
            await self.reader.readline()
        await self.reader.readline()
        return b"".join(parts)

    async def say(self, status: str, body: bytes = b"", *headers: str) -> None:
        """Answer with a body of a known length."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode("latin-1") + body)
        await self.writer.drain()


Behaviour = Callable[[Visit], Awaitable[None]]


async def store(visit: Visit) -> None:
    """Take the body and say how long it was."""
    await visit.say("201 Created", str(len(await visit.body())).encode())


@dataclass
class ScriptedFiles:
    """What came in; whether anything did, and whether a connection has ended."""

    behaviour: Behaviour = store
    visits: list[Visit] = field(default_factory=list)
    visited: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve on a loopback port, and yield the origin."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{self.port}"
        finally:
            server.close()
            for visit in self.visits:
                visit.writer.transport.abort()
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.strip().split("\r\n")
            headers = [(name.lower(), value) for name, value in (it.split(": ", 1) for it in rest)]
            visit = Visit(line, headers, reader, writer)
            self.visits.append(visit)
            self.visited.set()
            await self.behaviour(visit)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.ended.set()
            writer.close()
