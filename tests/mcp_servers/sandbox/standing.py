"""A sandbox that stands for the tests of a module, and what they ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp_types import CallToolResult, TextContent

from mcp_servers.sandbox import answers
from mcp_servers.sandbox.app import running
from mcp_servers.sandbox.run import Run, TimeLimit
from mcp_servers.sandbox.sandbox import Sandbox
from mcp_servers.sandbox.settings import SandboxSettings
from mcp_servers.sandbox.tools import Tools

ME, OTHER = "key:session-1", "key:session-2"
LIMIT = TimeLimit(20.0, 2.0)
FIELDS = ("stdout", "stderr", "results", "error_kind")


def settings(folder: Path, **more: Any) -> SandboxSettings:
    """Return settings for a sandbox whose state is in a folder, without libraries."""
    return SandboxSettings(state_dir=folder, **{"preload": "json", **more})


@asynccontextmanager
async def standing(wanted: SandboxSettings) -> AsyncIterator[Tools]:
    """Have a sandbox in a task of its own, for fixtures begin and end in different ones."""
    begun: asyncio.Future[Tools] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:
        try:
            async with running(wanted) as tools:
                begun.set_result(tools)
                await over.wait()
        except BaseException as error:
            if not begun.done():
                begun.set_exception(error)
            raise

    holding = asyncio.create_task(hold())
    try:
        yield await begun
    finally:
        over.set()
        await asyncio.wait([holding])
        if begun.exception() is None:
            await holding


async def run(tools: Tools, code: str, limit: TimeLimit = LIMIT) -> Run:
    """Run code in a sandbox that is thrown away."""
    async with tools.sandboxes.thrown_away() as sandbox:
        return await sandbox.python(code, limit, last=True)


@asynccontextmanager
async def opened(tools: Tools, owner: str = ME, ttl_s: float = 600) -> AsyncIterator[Sandbox]:
    """Have a sandbox while the context is open."""
    live = await tools.sandboxes.create(owner, ttl_s)
    try:
        async with tools.sandboxes.held(live.id, owner) as sandbox:
            yield sandbox
    finally:
        await tools.sandboxes.close(live.id, owner)


def meta(owner: str = ME, **more: Any) -> dict[str, Any]:
    """Return the `_meta` of an owner's call."""
    return {"agentdock/owner": owner, **more}


async def refused(act: Any) -> str:
    """Return the words of a refusal."""
    result: CallToolResult = await answers.answered(act)
    assert result.is_error
    return text(result)


def text(result: CallToolResult) -> str:
    """Return a result's text."""
    parts = [part.text for part in result.content if isinstance(part, TextContent)]
    [said] = parts
    return said


def fields(result: CallToolResult) -> dict[str, Any]:
    """Return a result's fields."""
    assert result.structured_content is not None
    return dict(result.structured_content)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait, for 5 s at most, until something is so."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (nothing tells of another's processes)
            await asyncio.sleep(0.02)
