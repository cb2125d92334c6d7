"""What a sandbox is asked before it is confined: it waits, and is refused with the sandbox."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from mcp_servers.sandbox.run import CannotRun, TimeLimit
from mcp_servers.sandbox.sandbox import LONG
from mcp_servers.sandbox.tools import Tools
from tests import leaks
from tests.mcp_servers.sandbox.standing import LIMIT, run, settings, standing

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_sandbox_that_cannot_be_confined_is_refused_and_says_why(tools: Tools) -> None:
    if tools.sandboxes.level.name == "none":
        pytest.skip("nothing is confined")
    async with tools.sandboxes.thrown_away() as sandbox:
        shutil.rmtree(f"{sandbox.site.workspace}/home")
        with pytest.raises(CannotRun, match=r"(?s)no sandbox could be opened: .*home"):
            await sandbox.python("1", LIMIT)
        with pytest.raises(CannotRun, match=r"(?s)no sandbox could be opened: .*home"):
            await sandbox.command("true", LIMIT)


@pytest.mark.parametrize("length", [0, 4 * LONG])
async def test_time_runs_from_when_the_sandbox_is_ready(tmp_path: Path, length: int) -> None:
    before = leaks.descendants()
    async with standing(settings(tmp_path)) as tools:
        assert (await run(tools, "1")).results == ["1"]
        confined = leaks.descendants() - before
        for pid in confined:
            os.kill(pid, signal.SIGSTOP)
        limit = TimeLimit(run_s=0.6, grace_s=0.2)
        for pid in confined:
            loop = asyncio.get_running_loop()
            loop.call_later(2 * limit.run_s, os.kill, pid, signal.SIGCONT)
        late = await run(tools, "2" + " " * length, limit)
        assert (late.results, late.error_kind) == (["2"], None)
