"""The whole web server in a test: real settings, real HTTP to services of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from mcp.client.client import Client
from mcp_types import CallToolResult, TextContent

from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.web.app import Settings, web_server
from mcp_servers.web.browsing.settings import BrowserSettings
from mcp_servers.web.extracting.settings import ExtractSettings
from mcp_servers.web.settings import WebSettings
from tests.fakes.scripted_api import ScriptedApi
from tests.mcp_servers.fetching import scripted

KEY = "key-4711"
PAGE = b"""<!doctype html><html lang="en"><head><title>Of apples</title>
<meta name="author" content="Ann Lee"></head><body><nav><a href="/">Home</a></nav><article>
<h1>Of apples</h1><p>The apple is a round fruit that grows on trees in temperate lands, and its
seeds are dark and small.</p><p>The Boskoop was found in 1856 by Kornelis Ottolander in a village of
the Netherlands from which it has its name, and is sour.</p></article></body></html>"""

T = TypeVar("T")


def settings_in(
    folder: Path,
    *inner: ScriptedApi | str,
    fetch: dict[str, Any] | None = None,
    extract: dict[str, Any] | None = None,
    **web: Any,
) -> Settings:
    """Return settings that keep everything in `folder` and let these services be fetched."""
    given: dict[str, Any] = {"web_cache_dir": folder, "web_search_providers": "serper"} | web
    hosts = ",".join(it if isinstance(it, str) else it.host for it in inner)
    fetching: dict[str, Any] = {"host_rate": 10_000, "attempts": 1} | (fetch or {})
    return Settings(
        WebSettings(**given),
        FetchSettings(allowed_hosts=hosts, **fetching),
        ExtractSettings(**(extract or {})),
        BrowserSettings(enabled=False),
    )


@asynccontextmanager
async def running(settings: Settings, *names: str) -> AsyncIterator[Client]:
    """Run the server and yield a client of it; `names` lead to this machine."""
    known = scripted.resolver({name: ["127.0.0.1"] for name in ("127.0.0.1", *names)})
    async with web_server(settings, known) as server, Client(server) as client:
        yield client


def text(result: CallToolResult) -> str:
    """Return the text of a result; there is exactly one."""
    [part] = result.content
    assert isinstance(part, TextContent)
    return part.text


def fields(result: CallToolResult) -> dict[str, Any]:
    """Return the structured content of a result."""
    assert isinstance(result.structured_content, dict)
    return result.structured_content


@asynccontextmanager
async def in_one_task(context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave a context in one task, as its cancel scopes ask; a fixture's ends differ."""
    entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def hold() -> None:
        async with context as value:
            entered.set_result(value)
            await leave.wait()

    task = asyncio.create_task(hold())
    both: list[asyncio.Future[Any]] = [task, entered]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield entered.result()
    finally:
        leave.set()
        await task
