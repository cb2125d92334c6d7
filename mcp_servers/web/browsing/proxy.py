"""The browser's only way out: the guard judges every host, and only what it judged is dialled.

It listens on loopback and serves only pages that have an allowance, by its name and password.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from mcp_servers.fetching.errors import BadUrl, FetchError, Refused
from mcp_servers.fetching.guard import Guard, Target
from mcp_servers.web.browsing.allowance import Allowance
from mcp_servers.web.browsing.dialling import HEAD, Dialler, Streams
from mcp_servers.web.browsing.message import (
    BadMessage,
    Head,
    origin_form,
    parse,
    place,
    refusal,
    wanted,
)

PIECE = 1 << 16
HEAD_S = 10.0
FLUSH_S = 30.0
MOST = 512
"""Connections at a time, of all pages and of strangers who are about to be sent away."""


class PinningProxy:
    """An HTTP proxy for the pages of one browser.

    Args:
        guard: Judges every host, each time it is asked for.
        dialler: Dials what was admitted.
    """

    def __init__(self, guard: Guard, dialler: Dialler) -> None:
        self._guard = guard
        self._dialler = dialler
        self._allowances: dict[str, Allowance] = {}
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin to listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, limit=HEAD)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cut every connection and stop listening."""
        assert self._server is not None
        self._server.close()
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @contextmanager
    def serving(self, allowance: Allowance) -> Iterator[None]:
        """Serve a page while the context is open; then cut what it still has open."""
        self._allowances[allowance.name] = allowance
        try:
            yield
        finally:
            del self._allowances[allowance.name]
            allowance.revoke()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            if len(self._talks) <= MOST:
                await self._talk(reader, writer)
                # What is still on its way to a browser that reads slowly is not lost.
                writer.close()
                async with asyncio.timeout(FLUSH_S):
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            # Only our own ends cancel it: a task of the server has nobody to tell.
            pass
        finally:
            self._talks.discard(task)
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEAD_S):
            data = await reader.readuntil(b"\r\n\r\n")
        try:
            head = parse(data)
            method, url = wanted(head)
        except BadMessage:
            await _say(writer, refusal("400 Bad Request"))
            return
        allowance = self._allowance(head)
        if allowance is None:
            challenge = 'Proxy-Authenticate: Basic realm="pages"'
            await _say(writer, refusal("407 Proxy Authentication Required", challenge))
            return
        _note(allowance.running)
        await self._serve(allowance, method, url, head, (reader, writer))

    def _allowance(self, head: Head) -> Allowance | None:
        name, password = head.credentials
        allowance = self._allowances.get(name)
        if allowance is None or not hmac.compare_digest(allowance.password, password):
            return None
        return allowance

    async def _serve(
        self, allowance: Allowance, method: str, url: str, head: Head, client: Streams
    ) -> None:
        writer = client[1]
        if not allowance.connection():
            return await _say(writer, refusal("429 Too Many Requests"))
        host = ""
        try:
            host = url.split("/")[2].rpartition("@")[2].lower()
            own = allowance.own is not None and place(url) == allowance.own
            target = await self._guard.admit(url, named=own)
            if target.inner:
                _note(allowance.inside)
            upstream = await self._dialler.dial(target)
        except FetchError as error:
            allowance.refuse(host, error)
            forbidden = isinstance(error, Refused | BadUrl)
            return await _say(writer, refusal("403 Forbidden" if forbidden else "502 Bad Gateway"))
        try:
            if method == "CONNECT":
                await _say(writer, b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _both_ways(client, upstream, allowance)
            else:
                await _one_request(client, upstream, allowance, (method, target), head)
        finally:
            upstream[1].transport.abort()


def _note(tasks: set[asyncio.Task[None]]) -> None:
    """Keep the task until its connection is closed, not only until the answer is passed on."""
    task = asyncio.current_task()
    assert task is not None
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _say(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _both_ways(client: Streams, upstream: Streams, allowance: Allowance) -> None:
    """Pass bytes on until one side is done."""
    ways = [
        asyncio.ensure_future(_pass_on(client[0], upstream[1], allowance)),
        asyncio.ensure_future(_pass_on(upstream[0], client[1], allowance)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _one_request(
    client: Streams,
    upstream: Streams,
    allowance: Allowance,
    asked: tuple[str, Target],
    head: Head,
) -> None:
    """Pass on one request and its answer; another needs another connection, and is judged anew."""
    try:
        length = head.length
    except BadMessage:
        return await _say(client[1], refusal("411 Length Required"))
    method, target = asked
    upstream[1].write(head.forwarded(origin_form(method, target.url)))
    sending = asyncio.ensure_future(_pass_on(client[0], upstream[1], allowance, length))
    try:
        await _answer(upstream[0], client[1], allowance)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, allowance: Allowance
) -> None:
    """Pass an answer on, its head rewritten so that the browser asks nothing more this way."""
    while True:
        try:
            head = parse(await reader.readuntil(b"\r\n\r\n"))
        except BadMessage:
            await _say(writer, refusal("502 Bad Gateway"))
            return
        status = head.first.split(" ")[1:2]
        if status and status[0].startswith("1"):
            continue
        break
    writer.write(head.forwarded())
    await _pass_on(reader, writer, allowance)


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    allowance: Allowance,
    most: int | None = None,
) -> None:
    """Pass on at most `most` bytes, until the end of the stream or of the allowance."""
    while most is None or most > 0:
        data = await reader.read(PIECE if most is None else min(PIECE, most))
        if not data or not allowance.load(len(data)):
            return
        most = most if most is None else most - len(data)
        writer.write(data)
        await writer.drain()
    await writer.drain()
