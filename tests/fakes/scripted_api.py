"""An HTTP service that answers as it is told: what search providers and readers say, and worse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What to say: bytes as they are, what a function makes of the request, all else as JSON."""

    status: int
    said: Any
    headers: tuple[str, ...] = ()

    def encoded(self, asked: Asked) -> bytes:
        said = self.said(asked) if callable(self.said) else self.said
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        lines = [
            f"HTTP/1.1 {self.status} Scripted",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *self.headers,
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class ScriptedApi:
    """The next answer for each request, then the last again. Nothing is said while `held`."""

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    held: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def say(self, status: int, said: Any, *headers: str) -> None:
        """Add an answer to those that are still to come."""
        self.answers.append(Answer(status, said, headers))

    def now_say(self, status: int, said: Any, *headers: str) -> None:
        """Give this answer from now on."""
        self.answers = [Answer(status, said, headers)]

    def hold(self) -> asyncio.Event:
        """Say nothing until the returned event is set."""
        self.held = asyncio.Event()
        return self.held

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (it.partition(": ") for it in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, target, _ = first.split(" ")
        parts = urlsplit(target)
        params = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked = Asked(method, parts.path, params, headers, body)
        self.asked.append(asked)
        if self.held is not None:
            await self.held.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        writer.write(answer.encoded(asked))
        await writer.drain()


@asynccontextmanager
async def scripted_api() -> AsyncIterator[ScriptedApi]:
    """Serve on a free port of this machine."""
    api = ScriptedApi()
    running: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await api.serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            running.discard(task)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
