"""Assembly: the sandbox as the settings say, from its start to its end."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from mcp_servers.fetching.app import create_fetcher
from mcp_servers.sandbox.files_server import FilesApp, serving
from mcp_servers.sandbox.levels.base import Level
from mcp_servers.sandbox.levels.choice import BEST_FIRST, choose
from mcp_servers.sandbox.levels.zygote import ZygoteLevel
from mcp_servers.sandbox.quota import Quota
from mcp_servers.sandbox.record import Records
from mcp_servers.sandbox.sandboxes import Sandboxes
from mcp_servers.sandbox.settings import MIB, SandboxSettings
from mcp_servers.sandbox.tools import Tools
from mcp_servers.sandbox.transfers import FileArea, Transfers
from mcp_servers.sandbox.turns import Turns


@asynccontextmanager
async def running(settings: SandboxSettings) -> AsyncIterator[Tools]:
    """Have the sandbox ready while the context is open.

    Raises:
        LevelFault: no code can be confined here as the settings demand.
    """
    _raise_descriptors()
    async with AsyncExitStack() as stack:
        state = settings.state_dir or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="agentdock-sandbox-"))
        )
        records = Records(state / "sandboxes")
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        level = await _level(settings, records, tasks)
        stack.push_async_callback(level.close)
        sandboxes = Sandboxes(
            level,
            records,
            settings.limits,
            prefix=settings.handle_prefix,
            capacity=settings.capacity,
            per_owner=settings.owner_sandboxes,
        )
        await sandboxes.adopt_left()
        stack.push_async_callback(sandboxes.end)
        tasks.start_soon(sandboxes.sweep)
        fetcher = await stack.enter_async_context(create_fetcher())
        quota = Quota(settings.area * MIB, settings.area_files)
        area = FileArea(settings.files_dir or state / "files", quota)
        if settings.files_socket is not None:
            files = FilesApp(area, sandboxes)
            await stack.enter_async_context(serving(files, settings.files_socket))
        turns = Turns(settings.owner_calls, settings.owner_waiting)
        transfers = Transfers(area, sandboxes, fetcher)
        yield Tools(sandboxes, transfers, turns, call_s=settings.call_s, ttl_s=settings.ttl_s)


async def _level(settings: SandboxSettings, records: Records, tasks: TaskGroup) -> Level:
    names = BEST_FIRST if settings.level == "auto" else (settings.level,)

    def make(name: str) -> Level:
        return ZygoteLevel(name, records.root, settings.modules, tasks)

    return await choose(names, make, records, settings.demanded)


def _raise_descriptors() -> None:
    """Take as many descriptors as we may: each sandbox has a few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
