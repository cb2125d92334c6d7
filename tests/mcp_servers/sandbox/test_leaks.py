"""A thousand sandboxes opened, used and closed leave nothing behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from mcp_servers.sandbox.tools import Tools
from tests import leaks
from tests.mcp_servers.sandbox.standing import LIMIT, settings, standing

pytestmark = pytest.mark.slow

SANDBOXES = 1000
SIDE_BY_SIDE = 8


def counted(state: Path) -> dict[str, int]:
    """Count what could be left: processes, descriptors, mounts, folders, sandboxes' users."""
    pids = leaks.descendants()
    users = {os.stat(f"/proc/{pid}").st_uid for pid in pids if os.path.exists(f"/proc/{pid}")}
    return {
        "processes": len(pids),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "mounts": Path("/proc/self/mountinfo").read_text().count("sandboxes"),
        "folders": len(list(state.glob("sandboxes/*/*"))),
        "users": len(users),
    }


async def use(tools: Tools, times: int) -> None:
    for number in range(times):
        live = await tools.sandboxes.create("owner", 600)
        async with tools.sandboxes.held(live.id, "owner") as sandbox:
            done = await sandbox.python(f"open('f', 'w').write('x')\n{number}", LIMIT)
            assert done.results == [str(number)]
            await sandbox.command("mkdir -p a/b; sleep 60 &", LIMIT)
        await tools.sandboxes.close(live.id, "owner")


async def test_a_thousand_sandboxes_leave_nothing(tmp_path: Path) -> None:
    async with standing(settings(tmp_path)) as tools:
        await use(tools, 5)
        before = counted(tmp_path)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(SIDE_BY_SIDE):
                tasks.create_task(use(tools, SANDBOXES // SIDE_BY_SIDE))
        after = counted(tmp_path)
        # Closed sandboxes are remembered by their records alone.
        folders = after.pop("folders"), before.pop("folders")
        assert folders[0] - folders[1] == SANDBOXES
        assert {name: after[name] - before[name] for name in after} == dict.fromkeys(after, 0)
    assert not list(tmp_path.glob("sandboxes/*/home"))
