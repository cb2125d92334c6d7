"""The browser's way out, asked by hand: what it lets through, sends away, and counts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from mcp_servers.fetching.errors import Refused, UnknownHost, Unreachable
from mcp_servers.fetching.guard import Guard
from mcp_servers.web.browsing.allowance import Allowance
from mcp_servers.web.browsing.dialling import Dialler
from mcp_servers.web.browsing.message import BadMessage, parse, wanted
from mcp_servers.web.browsing.proxy import PinningProxy
from tests.mcp_servers.fetching.scripted import (
    ScriptedResolver,
    Served,
    http,
    resolver,
    saying,
    serving,
    watched_dials,
)
from tests.mcp_servers.web.pages import until
from tests.ports import free_ports


@asynccontextmanager
async def a_proxy(
    *inner: Served, names: ScriptedResolver | None = None, upstream: str | None = None
) -> AsyncIterator[PinningProxy]:
    hosts = {("127.0.0.1", served.port) for served in inner}
    known = names or resolver({"127.0.0.1": ["127.0.0.1"], "public.test": ["192.0.2.1"]})
    guard = Guard(known, {80, 443}, hosts, proxied=upstream is not None)
    async with PinningProxy(guard, Dialler(upstream)) as proxy:
        yield proxy


async def said(
    proxy: PinningProxy, *parts: bytes, after: Callable[[], bool] | None = None
) -> bytes:
    """Return all that the proxy answers to these bytes, read when `after` says so."""
    port = int(proxy.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(5):
            for part in parts:
                writer.write(part)
                await writer.drain()
            if after is not None:
                await until(after, 5.0)
            got = b""
            try:
                while data := await reader.read(1 << 16):
                    got += data
            except ConnectionError:
                pass
            return got
    finally:
        writer.close()


def ask(line: str, allowance: Allowance | None, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: whatever.test", *headers]
    if allowance is not None:
        key = base64.b64encode(f"{allowance.name}:{allowance.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {key}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def an_allowance(max_bytes: int = 10**6, max_requests: int = 100) -> Allowance:
    return Allowance(max_bytes, max_requests)


def of(allowance: Allowance, site: Served) -> Allowance:
    """Return the allowance as one of a page of this site."""
    allowance.own = ("127.0.0.1", site.port)
    return allowance


async def test_a_page_gets_what_it_asks_for_in_the_form_that_servers_expect() -> None:
    allowance = an_allowance()
    text = saying(http(b"text", "200 OK", "Keep-Alive: x"))
    async with serving(text) as site, a_proxy(site) as proxy:
        with proxy.serving(of(allowance, site)):
            request = ask(f"GET {site.url}/a?b=c", allowance, "Proxy-Connection: keep-alive")
            answer = await said(proxy, request)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"Connection: close\r\n\r\ntext")
    assert b"Keep-Alive" not in answer
    [head] = site.heads
    assert head.startswith("GET /a?b=c HTTP/1.1\r\n")
    assert "Proxy-" not in head
    assert allowance.password not in head
    assert "Connection: close\r\n" in head


async def test_a_tunnel_passes_bytes_both_ways() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(4)).upper())

    allowance = an_allowance()
    async with serving(echo) as site, a_proxy(site) as proxy:
        with proxy.serving(of(allowance, site)):
            answer = await said(
                proxy,
                ask(f"CONNECT 127.0.0.1:{site.port}", allowance),
                b"GET / HTTP/1.1\r\n\r\nping",
            )
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\nPING"


async def test_a_body_goes_along_as_long_as_it_says_and_no_second_request_behind_it() -> None:
    got: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readexactly(4))
        writer.write(http(b"ok"))
        await writer.drain()
        writer.write_eof()
        got.append(await reader.read())

    allowance = an_allowance()
    async with serving(take) as site, a_proxy(site) as proxy:
        with proxy.serving(of(allowance, site)):
            request = ask(f"POST {site.url}/", allowance, "Content-Length: 4", body=b"body")
            smuggled = ask("GET http://127.0.0.1:1/", allowance)
            assert (await said(proxy, request + smuggled)).endswith(b"ok")
    assert got == [b"body", b""]


@pytest.mark.parametrize("given", ["nothing", "another password", "a page that is over", "rubbish"])
async def test_whoever_has_no_allowance_is_sent_away_and_nothing_is_dialled(given: str) -> None:
    allowance = an_allowance()
    asking = {
        "nothing": None,
        "another password": Allowance(1, 1, name=allowance.name),
        "a page that is over": an_allowance(),
        "rubbish": None,
    }[given]
    async with serving(saying(http())) as site, a_proxy(site) as proxy:
        if given == "a page that is over":
            assert asking is not None
            with proxy.serving(asking):
                pass
        with proxy.serving(of(allowance, site)):
            rubbish = ["Proxy-Authorization: Basic ÿ=="] if given == "rubbish" else []
            answer = await said(proxy, ask(f"GET {site.url}/", asking, *rubbish))
    assert answer.startswith(b"HTTP/1.1 407 ")
    assert site.connections == 0


INNER = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "0.0.0.0",
    "169.254.169.254",
    "metadata.google.internal",
    "10.0.0.1",
    "2130706433",
    "0x7f.1",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "inner.test",
    "user@127.0.0.1",
]


@pytest.mark.parametrize("host", INNER)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
async def test_inner_hosts_are_refused_undialled_and_the_page_is_not_told_why(
    host: str, method: str
) -> None:
    allowance = an_allowance()
    names = resolver({"inner.test": ["127.0.0.1"], "127.0.0.1": ["127.0.0.1"]})
    async with serving(saying(http())) as site, a_proxy(names=names) as proxy:
        line = f"GET http://{host}:80/" if method == "GET" else f"CONNECT {host}:443"
        with proxy.serving(allowance), watched_dials() as dials:
            answer = await said(proxy, ask(line, allowance))
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n")
    assert {port for _, port in dials.seen} <= {int(proxy_port(dials.seen))}
    assert site.connections == 0
    assert all(isinstance(error, Refused) for error in allowance.refused.values())
    assert len(allowance.refused) == 1


def proxy_port(seen: list[tuple[str, int]]) -> int:
    """Return the port that the test itself dialled, which is the first."""
    return seen[0][1]


async def test_a_name_whose_answer_changes_is_judged_each_time() -> None:
    allowance = an_allowance()
    async with serving(saying(http(b"fine"))) as site:
        names = ScriptedResolver(changing_test=[["93.184.216.34"], ["127.0.0.1"]])
        async with a_proxy(site, names=names) as proxy:
            with proxy.serving(allowance), watched_dials() as dials:
                for _ in range(2):
                    await said(proxy, ask("GET http://changing.test/", allowance))
    assert site.connections == 0
    # The first was judged to be public, and dialled; tests let no such dial through.
    assert [address for address, port in dials.seen if port == 80] == ["93.184.216.34"]


async def test_why_a_host_was_not_reached_is_kept_for_the_model() -> None:
    [port] = free_ports(1)
    allowance = an_allowance()
    async with a_proxy(Served(port)) as proxy:
        with proxy.serving(of(allowance, Served(port))):
            for host in (f"127.0.0.1:{port}", "nowhere.test"):
                answer = await said(proxy, ask(f"GET http://{host}/", allowance))
                assert answer.startswith(b"HTTP/1.1 502 ")
    unreachable, unknown = allowance.refused.values()
    assert isinstance(unreachable, Unreachable)
    assert isinstance(unknown, UnknownHost)


@pytest.mark.parametrize("method", ["GET", "POST", "CONNECT"])
async def test_a_public_page_gets_nothing_from_an_allowed_host(method: str) -> None:
    """What a setting allows is for who names it; a page that was read is a stranger's text."""
    allowance = an_allowance()
    async with serving(saying(http())) as site, a_proxy(site) as proxy:
        place = f"127.0.0.1:{site.port}"
        line = f"CONNECT {place}" if method == "CONNECT" else f"{method} http://{place}/"
        with proxy.serving(allowance):
            assert (await said(proxy, ask(line, allowance))).startswith(b"HTTP/1.1 403 ")
    assert site.connections == 0


async def test_a_tunnel_inside_ends_when_its_page_leaves() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    allowance = an_allowance()
    async with serving(never) as site, a_proxy(site) as proxy:
        request = ask(f"CONNECT 127.0.0.1:{site.port}", allowance), b"GET / HTTP/1.1\r\n\r\n"
        with proxy.serving(of(allowance, site)):
            talk = asyncio.create_task(said(proxy, *request))
            await until(lambda: bool(site.heads), 5.0)
            allowance.leave()
            assert b"200 Connection established" in await talk
            assert (await said(proxy, *request)).startswith(b"HTTP/1.1 403 ")
    assert site.connections == 1


async def test_bytes_beyond_the_allowance_are_cut() -> None:
    allowance = an_allowance(max_bytes=100_000)
    async with serving(saying(http(b"x" * 10**6))) as site, a_proxy(site) as proxy:
        with proxy.serving(of(allowance, site)):
            answer = await said(proxy, ask(f"GET {site.url}/", allowance))
    assert len(answer) < 101_000
    assert "more than 100000 bytes" in allowance.exceeded


async def test_what_is_still_buffered_when_an_answer_ends_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def at_once(writer: asyncio.StreamWriter) -> None:
        """Buffer without bound, as happens to the last bytes for a browser that reads slowly."""

    monkeypatch.setattr(asyncio.StreamWriter, "drain", at_once)
    allowance = an_allowance(max_bytes=10**8)
    size = 20_000_000
    async with serving(saying(http(b"x" * size))) as site, a_proxy(site) as proxy:
        with proxy.serving(of(allowance, site)):
            request = ask(f"GET {site.url}/", allowance)
            answer = await said(proxy, request, after=lambda: allowance.loaded >= size)
    assert answer.count(b"x") == size


async def test_connections_beyond_the_allowance_are_refused() -> None:
    allowance = an_allowance(max_requests=2)
    async with serving(saying(http())) as site, a_proxy(site) as proxy:
        with proxy.serving(of(allowance, site)):
            answers = [await said(proxy, ask(f"GET {site.url}/", allowance)) for _ in range(3)]
    assert [answer[9:12] for answer in answers] == [b"200", b"200", b"429"]
    assert site.connections == 2


async def test_the_end_of_a_page_cuts_what_it_has_open() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    allowance = an_allowance()
    async with serving(never) as site, a_proxy(site) as proxy:
        with proxy.serving(of(allowance, site)):
            talk = asyncio.create_task(said(proxy, ask(f"GET {site.url}/", allowance)))
            await until(lambda: bool(site.heads), 5.0)
        assert await talk == b""


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET ftp://a.test/ HTTP/1.1\r\n\r\n",
        b"CONNECT\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET http://a.test/ HTTP/2\r\n\r\n",
    ],
)
async def test_what_is_no_request_to_a_proxy_is_refused(request_: bytes) -> None:
    async with a_proxy() as proxy:
        assert (await said(proxy, request_)).startswith(b"HTTP/1.1 400 ")


async def test_a_head_without_end_is_cut() -> None:
    async with a_proxy() as proxy:
        assert await said(proxy, b"GET http://a.test/ HTTP/1.1\r\n" + b"a: b\r\n" * 20_000) == b""


@pytest.mark.parametrize(
    "headers",
    [
        ["Transfer-Encoding: chunked"],
        ["Content-Length: 1", "Content-Length: 2"],
        ["Content-Length: -1"],
    ],
)
async def test_a_body_of_unclear_length_is_not_passed_on(headers: list[str]) -> None:
    allowance = an_allowance()
    async with serving(saying(http())) as site, a_proxy(site) as proxy:
        with proxy.serving(of(allowance, site)):
            answer = await said(proxy, ask(f"POST {site.url}/", allowance, *headers))
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert site.heads == []


@pytest.mark.parametrize("status", ["200 OK", "407 Proxy Authentication Required"])
async def test_with_a_proxy_of_the_site_everything_but_inner_hosts_goes_by_it(status: str) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if status.startswith("200"):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http(b"by the other"))

    allowance = an_allowance()
    async with serving(upstream) as other:
        address = f"http://us:secret@127.0.0.1:{other.port}"
        async with a_proxy(upstream=address) as proxy:
            with proxy.serving(allowance):
                answer = await said(proxy, ask("GET http://known.there/", allowance))
    assert other.heads[0].startswith("CONNECT known.there:80 HTTP/1.1\r\n")
    assert f"Basic {base64.b64encode(b'us:secret').decode()}" in other.heads[0]
    assert answer.endswith(b"by the other") == status.startswith("200")
    assert not any("secret" in str(error) for error in allowance.refused.values())


def test_what_a_connect_names_is_judged_as_https() -> None:
    assert wanted(parse(b"CONNECT a.test:80 HTTP/1.1\r\n\r\n")) == ("CONNECT", "https://a.test:80/")


@pytest.mark.parametrize(
    "data", [b"x\r\n: y\r\n\r\n", b"x\r\na : y\r\n\r\n", b"x\r\na: y\nb\r\n\r\n"]
)
def test_odd_headers_are_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        parse(data)
