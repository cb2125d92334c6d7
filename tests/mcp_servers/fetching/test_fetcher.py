"""A zoo of servers: each does one thing wrong; the fetch ends in time, in bounds, in words."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from typing import Any

import anyio
import pytest

from mcp_servers.fetching.errors import (
    BadUrl,
    BrokenAnswer,
    HttpError,
    Refused,
    TooLarge,
    TooManyRedirects,
    TooSlow,
    UnknownHost,
    Unreachable,
)
from mcp_servers.fetching.fetcher import Request
from tests.mcp_servers.fetching.scripted import fetcher, http, resolver, saying, serving
from tests.mcp_servers.web.pages import until
from tests.ports import free_ports

ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"


async def test_a_page_is_fetched_with_its_status_and_headers() -> None:
    answer = http(b"not here", "404 Not Found", "Content-Type: text/plain", "Retry-After: 7")
    async with serving(saying(answer)) as server, fetcher(server) as guarded:
        fetched = await guarded.fetch(Request(f"{server.url}/a%20b?c=d#e"))
    assert (fetched.status, fetched.body, fetched.size) == (404, b"not here", 8)
    assert fetched.headers["content-type"] == "text/plain"
    assert fetched.retry_after_s == 7
    assert server.heads[0].startswith("GET /a%20b?c=d HTTP/1.1\r\n")


async def test_the_fetcher_says_who_it_is() -> None:
    async with (
        serving(saying(http())) as server,
        fetcher(server, user_agent="Ours/1.0 (+https://example.test)") as guarded,
    ):
        await guarded.fetch(Request(server.url))
    assert "User-Agent: Ours/1.0 (+https://example.test)\r\n" in server.heads[0]
    assert f"Host: 127.0.0.1:{server.port}\r\n" in server.heads[0]


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(b"text", mtime=0), "gzip"),
        (gzip.compress(b"te", mtime=0) + gzip.compress(b"xt", mtime=0), "gzip"),
        (gzip.compress(b"text", mtime=0) + b"\0" * 8, "GZIP"),
        (zlib.compress(b"text"), "deflate"),
        (zlib.compress(b"text")[2:-4], "deflate"),
        (b"text", "identity"),
    ],
)
async def test_what_is_packed_is_unpacked(packed: bytes, encoding: str) -> None:
    answer = http(packed, "200 OK", f"Content-Encoding: {encoding}")
    async with serving(saying(answer)) as server, fetcher(server) as guarded:
        assert (await guarded.fetch(Request(server.url))).body == b"text"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"text" * 1000, mtime=0)[:-9], "gzip"),
        (b"no gzip at all", "gzip"),
        (b"\xff" * 100, "deflate"),
        (b"text", "br"),
        (gzip.compress(gzip.compress(b"text", mtime=0), mtime=0), "gzip, gzip"),
    ],
)
async def test_what_cannot_be_unpacked_is_a_broken_answer(body: bytes, encoding: str) -> None:
    answer = http(body, "200 OK", f"Content-Encoding: {encoding}")
    async with serving(saying(answer)) as server, fetcher(server) as guarded:
        with pytest.raises(BrokenAnswer):
            await guarded.fetch(Request(server.url))


@pytest.mark.slow
async def test_a_bomb_is_stopped_before_it_is_in_memory() -> None:
    """A gigabyte of nothing in one megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    answer = http(bomb, "200 OK", "Content-Encoding: gzip")
    async with serving(saying(answer)) as server, fetcher(server, max_bytes=2_000_000) as guarded:
        tracemalloc.start()
        with pytest.raises(TooLarge, match="2000000 bytes"):
            await guarded.fetch(Request(server.url))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16_000_000


async def test_an_endless_body_is_stopped_at_the_limit() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ENDLESS)
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()

    async with serving(flood) as server, fetcher(server, max_bytes=1_000_000) as guarded:
        with pytest.raises(TooLarge):
            await guarded.fetch(Request(server.url))
        with pytest.raises(TooLarge, match="5000 bytes"):
            await guarded.fetch(Request(server.url, max_bytes=5000))


async def test_an_endless_gzip_of_nothing_is_stopped_too() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ENDLESS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        while True:
            writer.write(gzip.compress(b"", mtime=0) * 1000)
            await writer.drain()

    async with serving(flood) as server, fetcher(server, max_bytes=100_000) as guarded:
        with pytest.raises(TooLarge):
            await guarded.fetch(Request(server.url))


async def test_a_length_over_the_limit_is_refused_before_the_body_comes() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
    async with serving(saying(head)) as server, fetcher(server) as guarded:
        with pytest.raises(TooLarge):
            await guarded.fetch(Request(server.url))


@pytest.mark.parametrize("head", [b"", ENDLESS, b"HTTP/1.1 200 OK\r\nX-Slow: "])
async def test_a_slow_drip_ends_at_the_deadline(head: bytes) -> None:
    """Each byte comes soon after the last, so that no wait for a byte is long."""
    dripped = 0

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dripped
        writer.write(head)
        while True:
            writer.write(b"H" if head else b"")
            await writer.drain()
            dripped += 1
            await asyncio.sleep(0.005)

    async with serving(drip) as server, fetcher(server) as guarded:
        with pytest.raises(TooSlow, match=r"within 0\.1 s"):
            await guarded.fetch(Request(server.url, deadline_s=0.1))
    assert dripped


async def test_a_look_up_that_hangs_ends_at_the_deadline() -> None:
    class Hanging:
        async def addresses(self, host: str, port: int) -> list[str]:
            await asyncio.Event().wait()
            return []

    async with fetcher(names=Hanging()) as guarded:  # type: ignore[arg-type]
        with pytest.raises(TooSlow):
            await guarded.fetch(Request("http://hanging.example.test/", deadline_s=0.05))


async def test_a_redirect_loop_is_left() -> None:
    answer = http(b"", "302 Found", "Location: /again")
    async with serving(saying(answer)) as server, fetcher(server) as guarded:
        with pytest.raises(TooManyRedirects, match="more than 5 times"):
            await guarded.fetch(Request(server.url))
    assert len(server.heads) == 6


@pytest.mark.parametrize("status", [300, 304, 305, 306])
async def test_other_statuses_of_the_300s_are_answers(status: int) -> None:
    answer = http(b"", f"{status} Odd", "Location: http://127.0.0.1/")
    async with serving(saying(answer)) as server, fetcher(server) as guarded:
        assert (await guarded.fetch(Request(server.url))).status == status


@pytest.mark.parametrize("location", ["https://[", ":https://^[x", "//a b", "http://x:y/"])
async def test_a_redirect_to_what_is_no_address_is_a_broken_answer(location: str) -> None:
    answer = http(b"", "302 Found", f"Location: {location}")
    async with serving(saying(answer)) as server, fetcher(server) as guarded:
        with pytest.raises(BrokenAnswer, match="bad address"):
            await guarded.fetch(Request(server.url))


async def test_headers_follow_a_redirect_within_their_origin_only() -> None:
    async with serving(saying(http())) as other:
        away = http(b"", "302 Found", f"Location: {other.url}/")
        near = http(b"", "302 Found", "Location: /next")
        async with serving(saying(near, away)) as server, fetcher(server, other) as guarded:
            await guarded.fetch(Request(server.url, headers={"Authorization": "mine"}))
    assert ["mine" in head for head in server.heads] == [True, True]
    assert "mine" not in other.heads[0]


async def test_cookies_of_one_fetch_are_unknown_to_the_next() -> None:
    answer = http(b"", "200 OK", "Set-Cookie: who=first")
    async with serving(saying(answer)) as server, fetcher(server) as guarded:
        await guarded.fetch(Request(server.url))
        await guarded.fetch(Request(server.url))
    assert not any("ookie" in head for head in server.heads)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"this is not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhung up",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
)
async def test_a_server_that_breaks_the_rules_is_named_so(rubbish: bytes) -> None:
    async with serving(saying(rubbish)) as server, fetcher(server) as guarded:
        with pytest.raises(BrokenAnswer):
            await guarded.fetch(Request(server.url))


async def test_a_closed_port_and_an_unknown_name_are_told_apart() -> None:
    names = resolver({"closed.test": ["127.0.0.1"]})
    port = free_ports(1)[0]
    async with fetcher("closed.test", names=names, attempts=1) as guarded:
        with pytest.raises(Unreachable, match="refuses connections"):
            await guarded.fetch(Request(f"http://closed.test:{port}/"))
        with pytest.raises(UnknownHost, match=r"'no\.such\.test' is not known"):
            await guarded.fetch(Request("http://no.such.test/"))


async def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    async with serving(saying(http())) as server:
        names = resolver({"two.test": ["::1", "127.0.0.1"]})
        async with fetcher("two.test", names=names) as guarded:
            answer = await guarded.fetch(Request(f"http://two.test:{server.port}/"))
    assert answer.body == b"hello"


async def test_a_passing_failure_is_tried_again() -> None:
    busy = http(b"", "503 Busy", "Retry-After: 0")
    async with serving(saying(busy, b"", http())) as server, fetcher(server) as guarded:
        assert (await guarded.fetch(Request(server.url))).status == 200
    assert len(server.heads) == 3


async def test_a_server_that_asks_for_a_long_wait_is_not_asked_again() -> None:
    busy = http(b"", "429 Slow Down", "Retry-After: 3600")
    async with serving(saying(busy)) as server, fetcher(server) as guarded:
        with pytest.raises(HttpError, match="3600 s") as refused:
            await guarded.download(Request(server.url), _no_sink)
    assert (refused.value.status, refused.value.retry_after_s) == (429, 3600)
    assert len(server.heads) == 1


async def _no_sink(piece: bytes) -> None:
    raise AssertionError("nothing should come here")


async def test_a_download_hands_over_pieces_and_keeps_none() -> None:
    pieces = []

    async def sink(piece: bytes) -> None:
        pieces.append(len(piece))

    packed = gzip.compress(bytes(5_000_000), mtime=0)
    answer = http(packed, "200 OK", "Content-Encoding: gzip")
    async with serving(saying(answer)) as server, fetcher(server) as guarded:
        fetched = await guarded.download(Request(server.url), sink)
    assert sum(pieces) == fetched.size == 5_000_000
    assert max(pieces) <= 1 << 16
    assert fetched.body == b""


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("Host", "127.0.0.1", Refused),
        ("transfer-encoding", "chunked", Refused),
        ("Accept-Encoding", "br", Refused),
        ("X", "a\r\nHost: inner", BadUrl),
        ("X\r\nY", "a", BadUrl),
        ("", "a", BadUrl),
    ],
)
async def test_a_header_that_could_deceive_is_refused(
    name: str, value: str, error: type[Exception]
) -> None:
    async with fetcher() as guarded:
        with pytest.raises(error):
            await guarded.fetch(Request("http://127.0.0.1/", headers={name: value}))


async def test_the_space_around_the_value_of_a_header_is_left_out() -> None:
    async with serving(saying(http())) as server, fetcher(server) as guarded:
        await guarded.fetch(Request(server.url, headers={"X-Token": " a b "}))
    assert "X-Token: a b\r\n" in server.heads[0]


async def test_a_host_gets_so_many_requests_at_a_time_and_no_more() -> None:
    now = most = 0
    let_go = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 2:
            let_go.set()
        await let_go.wait()
        now -= 1
        writer.write(http())

    async with (
        serving(hold) as server,
        fetcher(server, host_connections=2) as guarded,
        anyio.create_task_group() as fetches,
    ):
        for _ in range(6):
            fetches.start_soon(guarded.fetch, Request(server.url))
    assert most == 2
    assert len(server.heads) == 6


async def test_ports_of_a_host_are_different_sites() -> None:
    held = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.write(http())

    async with (
        serving(hold) as slow,
        serving(saying(http(b"quick"))) as quick,
        fetcher(slow, quick, host_connections=1) as guarded,
        anyio.create_task_group() as fetches,
    ):
        fetches.start_soon(guarded.fetch, Request(slow.url))
        await until(lambda: bool(slow.heads))
        with anyio.fail_after(5):
            assert (await guarded.fetch(Request(quick.url))).body == b"quick"
        held.set()


async def test_waiting_for_a_turn_takes_nothing_from_the_time_to_fetch() -> None:
    async with (
        serving(saying(http())) as server,
        fetcher(server, host_rate=5, deadline_s=0.8) as guarded,
        anyio.create_task_group() as fetches,
    ):
        for _ in range(8):
            fetches.start_soon(guarded.fetch, Request(server.url))
    assert len(server.heads) == 8


async def test_what_a_body_waits_for_on_our_side_takes_nothing_from_the_time_to_fetch() -> None:
    """Whoever takes the pieces may wait for a place, or for a disk; the server is not slow then."""
    let_go = asyncio.Event()

    async def sink(piece: bytes) -> None:
        await asyncio.wait([asyncio.ensure_future(let_go.wait())], timeout=0.5)

    async with serving(saying(http(b"x"))) as server, fetcher(server) as guarded:
        fetched = await guarded.fetch(Request(server.url, deadline_s=0.3), sink)
    let_go.set()
    assert fetched.size == 1


async def test_a_turn_that_does_not_come_names_the_settings() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        serving(never) as server,
        fetcher(server, host_connections=1, wait_s=0.2) as guarded,
        anyio.create_task_group() as fetches,
    ):
        fetches.start_soon(_ignoring, guarded.fetch, Request(server.url, deadline_s=20))
        await until(lambda: bool(server.heads))
        with pytest.raises(TooSlow, match=r"no turn .* within 0\.2 s .*FETCH_WAIT_S") as crowded:
            await guarded.fetch(Request(server.url))
        assert "FETCH_HOST_CONNECTIONS" in str(crowded.value)
        assert server.connections == 1
        fetches.cancel_scope.cancel()


async def _ignoring(what: Any, *arguments: Any) -> None:
    await what(*arguments)
