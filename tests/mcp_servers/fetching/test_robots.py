"""What sites ask of robots is understood as RFC 9309 says, and a robots.txt harms nobody."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import anyio
import pytest

from mcp_servers.fetching.errors import Refused
from mcp_servers.fetching.fetcher import Request
from mcp_servers.fetching.robots import Robots
from tests.mcp_servers.fetching.scripted import fetcher, http, saying, serving
from tests.mcp_servers.web.pages import a_site


async def allowed(rules: str, *paths: str) -> list[str]:
    """Return which of these paths a site with such rules lets us have."""
    pages = {"/robots.txt": http(rules.encode())} | dict.fromkeys(paths, http())
    got = []
    async with a_site(dict(pages)) as site, fetcher(site, robots=True) as guarded:
        for path in paths:
            with suppress(Refused):
                await guarded.fetch(Request(f"{site.url}{path}"))
                got.append(path)
    return got


async def test_robots_txt_is_obeyed_where_a_setting_says_so() -> None:
    rules = "User-agent: *\nDisallow: /\n\nUser-agent: agentdock\nDisallow: /private"
    assert await allowed(rules, "/open", "/private/page") == ["/open"]


@pytest.mark.parametrize(
    ("rules", "open_"),
    [
        ("Disallow: /*.pdf$", ["/a/b", "/a.pdf.html", "/a/secret"]),
        ("Disallow: /*/secret", ["/a/b", "/a.pdf", "/a.pdf.html"]),
        ("Disallow: /a\nAllow: /a/", ["/a/b", "/a/secret"]),
        ("Allow: /a/\nDisallow: /a/secret\nDisallow: /a.pdf", ["/a/b"]),
        ("Disallow:", ["/a/b", "/a.pdf", "/a.pdf.html", "/a/secret"]),
    ],
)
async def test_patterns_hold_and_the_longest_decides(rules: str, open_: list[str]) -> None:
    paths = ("/a/b", "/a.pdf", "/a.pdf.html", "/a/secret")
    assert await allowed(f"User-agent: *\n{rules}", *paths) == open_


@pytest.mark.parametrize("status", ["404 None", "403 Forbidden", "410 Gone"])
async def test_a_site_without_rules_forbids_nothing(status: str) -> None:
    async with (
        serving(saying(http(b"", status), http())) as server,
        fetcher(server, robots=True) as guarded,
    ):
        assert (await guarded.fetch(Request(server.url))).status == 200


async def test_rules_that_cannot_be_had_forbid_all_for_a_while_and_it_is_said() -> None:
    async with (
        serving(saying(http(b"", "500 Broken"), http())) as server,
        fetcher(server, robots=True) as guarded,
    ):
        for _ in range(2):
            with pytest.raises(Refused, match=r"robots\.txt .*status 500.*again in [56]\d s"):
                await guarded.fetch(Request(server.url))
    assert len(server.heads) == 1


async def test_rules_that_could_not_be_had_are_soon_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken, rules = http(b"", "500 Broken"), http(b"User-agent: *\nDisallow: /x")
    monkeypatch.setattr(Robots, "AGAIN_S", 0.0)
    async with (
        serving(saying(broken, rules, http())) as server,
        fetcher(server, robots=True) as guarded,
    ):
        with pytest.raises(Refused):
            await guarded.fetch(Request(server.url))
        assert (await guarded.fetch(Request(server.url))).status == 200


async def test_rules_that_never_come_are_given_up_before_the_page_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    monkeypatch.setattr(Robots, "ASK_S", 0.2)
    async with serving(never) as server, fetcher(server, robots=True) as guarded:
        with pytest.raises(Refused, match=r"robots\.txt .* within 0\.2 s"):
            await guarded.fetch(Request(server.url, deadline_s=10))


async def test_rules_that_were_had_hold_while_they_cannot_be_had_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = http(b"User-agent: *\nDisallow: /private")
    async with (
        serving(saying(rules, http(b"", "500 Broken"), http())) as server,
        fetcher(server, robots=True) as guarded,
    ):
        monkeypatch.setattr(Robots, "KEPT_S", 0.0)
        with pytest.raises(Refused, match="asks robots not to"):
            await guarded.fetch(Request(f"{server.url}/private"))
        monkeypatch.undo()
        assert (await guarded.fetch(Request(f"{server.url}/open"))).status == 200
    paths = [head.split()[1] for head in server.heads]
    assert paths == ["/robots.txt", "/robots.txt", "/open"]


async def test_many_who_come_at_once_ask_for_the_rules_once() -> None:
    async with (
        serving(saying(http(b"User-agent: *\nDisallow: /x"), http())) as server,
        fetcher(server, robots=True) as guarded,
        anyio.create_task_group() as fetches,
    ):
        for number in range(20):
            fetches.start_soon(guarded.fetch, Request(f"{server.url}/{number}"))
    assert [head.split()[1] for head in server.heads].count("/robots.txt") == 1


async def test_of_endless_rules_the_first_count() -> None:
    rules = "User-agent: *\nDisallow: /private\n" + "# and so on\n" * 100_000
    assert await allowed(rules, "/open", "/private") == ["/open"]


@pytest.mark.parametrize(
    "rules",
    [
        "".join(f"User-agent: u{n}\n" for n in range(18_000)) + "Disallow: /a\n" * 15_000,
        "".join(f"User agent u{n}\n" for n in range(18_000)) + "Disallow: /a\n" * 15_000,
        "User-agent: *\nDisallow: /" + "*a" * 200_000,
        "User-agent: *\n" + "Disallow: /*a*b*c*d*e*f$\n" * 20_000,
    ],
    ids=["agents", "lax agents", "stars", "patterns"],
)
async def test_rules_that_are_made_to_be_slow_are_not(rules: str) -> None:
    with anyio.fail_after(10):
        before = anyio.current_time()
        assert await allowed(f"User-agent: *\nDisallow: /no\n\n{rules}", "/yes") == ["/yes"]
        assert anyio.current_time() - before < 8
