"""What a relay passes on, and what becomes of it when one side is slow, silent or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
import pytest

from tests.fakes.scripted_files import Behaviour, ScriptedFiles, Visit
from tests.serving import serve
from wire.errors import PlatformError
from wire.faces.http import HungUp, Receive, Scope, Send, send_problem
from wire.relay import BrokenOff, NotKnown, NotReached, Relay

HEADERS = [(b"x-agentdock-owner", b"ann")]


class Relaying:
    """An application that relays everything, and what came of each request."""

    def __init__(self, origin: str, idle_s: float) -> None:
        self.ends: list[BaseException | None] = []
        self.ended = asyncio.Event()
        self._pool = httpcore.AsyncConnectionPool()
        self._relay = Relay(self._pool, idle_s, unknown=(401,))
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await self._pool.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        try:
            await self._relay.pass_on(scope, receive, send, self._origin, HEADERS)
            self.ends.append(None)
        except (NotReached, NotKnown, BrokenOff, HungUp, PlatformError) as error:
            self.ends.append(error)
            if not isinstance(error, HungUp):
                shown = error if isinstance(error, PlatformError) else PlatformError(str(error))
                await send_problem(send, shown)
        finally:
            self.ended.set()


@asynccontextmanager
async def relaying(
    behaviour: Behaviour | None = None, idle_s: float = 5.0
) -> AsyncIterator[tuple[httpx.AsyncClient, ScriptedFiles, Relaying]]:
    """Run a scripted server behind a relay; yield a client, the server and the relay."""
    files = ScriptedFiles(behaviour) if behaviour else ScriptedFiles()
    async with AsyncExitStack() as stack:
        relay = Relaying(await stack.enter_async_context(files.running()), idle_s)
        url = await stack.enter_async_context(serve(relay))
        client = httpx.AsyncClient(base_url=url, timeout=5)
        yield await stack.enter_async_context(client), files, relay


async def connected(client: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", urlsplit(str(client.base_url)).port)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/a%20b",
        "/v1/files/%2e%2e/x",
        "/v1/files/../x",
        "/v1/files//x/./y",
        "/v1/files/%00%ff?a=%2F&b",
        "/v1/files/a%2Fb%252F",
    ],
)
async def test_a_path_travels_exactly_as_it_was_sent(path: str) -> None:
    async with relaying() as (client, files, _):
        reader, writer = await connected(client)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 201")
        writer.close()
    assert [visit.line for visit in files.visits] == [f"GET {path} HTTP/1.1"]


async def test_headers_travel_but_for_those_between_two_neighbours() -> None:
    sent = [
        ("Range", "bytes=1-2"),
        ("If-Range", '"tag"'),
        ("Content-Type", "text/csv; charset=latin-1"),
        ("X-Theirs", "kept"),
        ("X-Twice", "1"),
        ("X-Twice", "2"),
        ("Authorization", "Bearer key"),
        ("X-API-Key", "key"),
        ("Cookie", "c=1"),
        ("X-Agentdock-Owner", "bob"),
        ("X-Agentdock-Other", "1"),
        ("Connection", "x-hop, close"),
        ("X-Hop", "1"),
        ("TE", "trailers"),
        ("Expect", "100-continue"),
    ]

    async def behave(visit: Visit) -> None:
        await visit.body()
        back = ('ETag: "t"', "Content-Range: bytes 1-2/9", "Connection: x-back", "X-Kept: é")
        await visit.say("206 Partial Content", b"ab", *back)

    async with relaying(behave) as (client, files, _):
        answer = await client.put("/v1/files/x", headers=sent, content=b"12345")
    [visit] = files.visits
    mine = [(name, value) for name, value in visit.headers if not name.startswith(("user", "acce"))]
    assert mine == [
        ("host", f"127.0.0.1:{files.port}"),
        ("range", "bytes=1-2"),
        ("if-range", '"tag"'),
        ("content-type", "text/csv; charset=latin-1"),
        ("x-theirs", "kept"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("content-length", "5"),
        ("x-agentdock-owner", "ann"),
    ]
    assert (answer.status_code, answer.content) == (206, b"ab")
    assert answer.headers["etag"] == '"t"'
    assert answer.headers["content-range"] == "bytes 1-2/9"
    assert answer.headers["x-kept"].encode("latin-1") == "é".encode("latin-1")
    assert "x-back" not in answer.headers.get("connection", "")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_arrives_whole_whether_its_length_is_known_or_not(announced: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield bytes(30_000)

    content: Any = bytes(1_500_000) if announced else pieces()
    async with relaying() as (client, _, _):
        answer = await client.put("/v1/files/x", content=content)
    assert (answer.status_code, answer.content) == (201, b"1500000")


async def test_a_server_that_is_not_there_was_not_reached() -> None:
    async with relaying() as (client, files, relay):
        relay._origin = "http://127.0.0.1:1"
        await client.put("/v1/files/x", content=b"1")
    assert [type(end) for end in relay.ends] == [NotReached]
    assert files.visits == []


async def test_a_server_that_does_not_know_us_says_so_to_us_alone() -> None:
    async with relaying(lambda visit: visit.say("401 Unauthorized")) as (client, _, relay):
        assert (await client.get("/v1/files/x")).status_code == 500
    assert [type(end) for end in relay.ends] == [NotKnown]


async def break_at_once(visit: Visit) -> None:
    """Close without a word."""


async def rubbish(visit: Visit) -> None:
    visit.writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


@pytest.mark.parametrize("behaviour", [break_at_once, rubbish])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_server_that_breaks_before_it_answers_is_no_answer(
    behaviour: Behaviour, method: str
) -> None:
    async with relaying(behaviour) as (client, _, relay):
        content = bytes(3_000_000) if method == "PUT" else None
        await client.request(method, "/v1/files/x", content=content)
    assert [type(end) for end in relay.ends] == [BrokenOff]


@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_an_answer_that_breaks_off_ends_too_early_for_the_caller_as_well(
    length: str,
) -> None:
    async def half(visit: Visit) -> None:
        visit.writer.write(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n5\r\nhalf\n\r\n".encode())
        await visit.writer.drain()

    async with relaying(half) as (client, _, _):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/v1/files/x")


async def stall(visit: Visit) -> None:
    await visit.reader.read()


async def stall_in_the_answer(visit: Visit) -> None:
    visit.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    await visit.reader.read()


async def test_a_silent_server_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async with relaying(stall, idle_s=0.1) as (client, files, _):
        answer = await client.get("/v1/files/x")
        assert (answer.status_code, answer.json()["code"]) == (504, "transfer_stalled")
        await asyncio.wait_for(files.ended.wait(), 5)
        files.behaviour = stall_in_the_answer
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/v1/files/x")


async def test_a_silent_sender_is_given_up() -> None:
    async with relaying(stall, idle_s=0.1) as (client, files, _):
        reader, writer = await connected(client)
        writer.write(b"PUT /v1/files/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        assert b"transfer_stalled" in await reader.readuntil(b"transfer_stalled")
        await asyncio.wait_for(files.ended.wait(), 5)
        writer.close()


async def test_a_sender_that_hangs_up_is_hung_up_on() -> None:
    async with relaying(stall) as (client, files, relay):
        _, writer = await connected(client)
        writer.write(b"PUT /v1/files/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        await asyncio.wait_for(files.visited.wait(), 5)
        writer.transport.abort()
        await asyncio.wait_for(files.ended.wait(), 5)
        await asyncio.wait_for(relay.ended.wait(), 5)
    assert [type(end) for end in relay.ends] == [HungUp]


@pytest.mark.parametrize("behaviour", [stall, stall_in_the_answer])
async def test_a_reader_that_hangs_up_is_hung_up_on(behaviour: Behaviour) -> None:
    async with relaying(behaviour) as (client, files, relay):
        _, writer = await connected(client)
        writer.write(b"GET /v1/files/x HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(files.visited.wait(), 5)
        writer.transport.abort()
        await asyncio.wait_for(files.ended.wait(), 5)
        await asyncio.wait_for(relay.ended.wait(), 5)
    assert [type(end) for end in relay.ends] == [HungUp]


async def test_a_slow_reader_slows_the_server() -> None:
    written = 0

    async def flood(visit: Visit) -> None:
        nonlocal written
        visit.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            visit.writer.write(bytes(100_000))
            await visit.writer.drain()
            written += 100_000

    async with relaying(flood) as (client, files, _):
        _, writer = await connected(client)
        writer.write(b"GET /v1/files/x HTTP/1.1\r\nHost: x\r\n\r\n")
        await until_still(lambda: written)
        assert 0 < written < 50_000_000
        writer.transport.abort()
        await asyncio.wait_for(files.ended.wait(), 5)


async def test_a_slow_server_slows_the_sender() -> None:
    over = asyncio.Event()

    async def read_nothing(visit: Visit) -> None:
        visit.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's can
        await over.wait()

    async with relaying(read_nothing) as (client, files, _):
        _, writer = await connected(client)
        writer.write(b"PUT /v1/files/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        sent = 0

        async def send() -> None:
            nonlocal sent
            while True:
                writer.write(bytes(100_000))
                await writer.drain()
                sent += 100_000

        sending = asyncio.create_task(send())
        await until_still(lambda: sent)
        assert 0 < sent < 50_000_000
        sending.cancel()
        await asyncio.wait([sending])
        writer.transport.abort()
        over.set()
        await asyncio.wait_for(files.ended.wait(), 5)


async def test_an_early_answer_reaches_a_sender_that_goes_on() -> None:
    async def refuse(visit: Visit) -> None:
        await visit.say("507 Insufficient Storage", b"full")
        while await visit.reader.read(1 << 16):
            continue

    async with relaying(refuse) as (client, _, _):
        answer = await client.put("/v1/files/x", content=bytes(5_000_000))
    assert (answer.status_code, answer.content) == (507, b"full")


async def until_still(count: Any) -> None:
    """Return when a count has begun and not grown for a while."""
    async with asyncio.timeout(10):
        before = -1
        while not 0 < count() == before:
            before = count()
            await asyncio.sleep(0.3)
