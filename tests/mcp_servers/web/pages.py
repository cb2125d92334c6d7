"""Pages for a real Chromium: a server with a page for each path, a browser that may reach it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mcp_servers.fetching.guard import Guard, Target
from mcp_servers.fetching.resolving import Resolver
from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.web.browsing.browser import Browser, Introduce
from mcp_servers.web.browsing.dialling import Dialler
from mcp_servers.web.browsing.proxy import PinningProxy
from mcp_servers.web.browsing.settings import BrowserSettings
from tests import leaks
from tests.mcp_servers.fetching.scripted import Answer, Served, http, resolver, serving

HTML = "Content-Type: text/html; charset=utf-8"


def need_chromium() -> None:
    """Skip a test where there is no Chromium; where nobody watches, fail it."""
    if BrowserSettings().found() is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is missing: apt-get install chromium")


def html(text: str, status: str = "200 OK", *headers: str) -> bytes:
    """Return an answer that is a page."""
    return http(text.encode(), status, HTML, *headers)


def site(pages: dict[str, bytes | Answer]) -> Answer:
    """Return what serves these paths, and 404 for others."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The head has been read and kept by `serving`; the path is looked up there.
        path = served_by(writer).heads[-1].split(" ")[1].partition("?")[0]
        found = pages.get(path, html("nothing here", "404 Not Found"))
        if isinstance(found, bytes):
            writer.write(found)
        else:
            await found(reader, writer)

    return answer


_SITES: dict[int, Served] = {}


def served_by(writer: asyncio.StreamWriter) -> Served:
    """Return the server that this connection belongs to."""
    return _SITES[writer.get_extra_info("sockname")[1]]


@asynccontextmanager
async def a_site(pages: dict[str, bytes | Answer]) -> AsyncIterator[Served]:
    """Serve pages by their paths."""
    async with serving(site(pages)) as served:
        _SITES[served.port] = served
        try:
            yield served
        finally:
            del _SITES[served.port]


class WatchingGuard(Guard):
    """A guard that keeps what it was asked for."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.asked: list[str] = []

    async def admit(self, url: str, **named: Any) -> Target:
        self.asked.append(url)
        return await super().admit(url, **named)


@dataclass
class Rig:
    """A browser with its parts in sight."""

    browser: Browser
    guard: WatchingGuard
    before: set[int] = field(default_factory=set)

    def processes(self) -> dict[int, str]:
        """Return what runs because of this browser, with command lines."""
        return {pid: leaks.command(pid) for pid in leaks.descendants() - self.before}

    def renderers(self) -> list[int]:
        return [pid for pid, command in self.processes().items() if "--type=renderer" in command]


@asynccontextmanager
async def a_browser(
    *inner: Served,
    names: Resolver | None = None,
    upstream: str | None = None,
    introduce: Introduce | None = None,
    **settings: Any,
) -> AsyncIterator[Rig]:
    """Give a browser that may reach these servers, and by `upstream` what is public."""
    before = leaks.descendants()
    hosts = FetchSettings(allowed_hosts=",".join(f"127.0.0.1:{host.port}" for host in inner))
    guard = WatchingGuard(
        names or resolver({"127.0.0.1": ["127.0.0.1"]}),
        hosts.ports,
        hosts.inner_hosts,
        proxied=upstream is not None,
    )
    proxy = PinningProxy(guard, Dialler(upstream))
    configured = BrowserSettings.model_validate(settings)
    async with Browser(configured, guard, proxy, hosts.user_agent, introduce) as browser:
        yield Rig(browser, guard, before)


async def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait until something is so, which only looking shows."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  # what is awaited is in other processes
            await asyncio.sleep(0.02)


async def until_gone(left: Callable[[], Any]) -> None:
    """Wait until there is none of what `left` lists."""
    await until(lambda: not left(), 5.0)


def environment(pid: int) -> bytes:
    """Return a process's environment, empty if it may not be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def user(pid: int) -> int | None:
    """Return the user that a process runs as, None if it is gone."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None
