"""The nursery, and what becomes of sandboxes when it has no room, or ends."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path

import pytest

from mcp_servers.sandbox.sandbox import WORKER_ENDED
from mcp_servers.sandbox.tools import Tools
from tests import leaks
from tests.mcp_servers.sandbox.standing import LIMIT, eventually, opened, settings, standing


def nurseries_of(tools: Tools, before: set[int]) -> list[tuple[int, int]]:
    """Return the process that has the libraries, and that for plain code: each pid outside, inside.

    They are in the zygote's process ids, of which that is 1, and in no sandbox's.
    """
    if tools.sandboxes.level.name != "namespaces":
        pytest.skip("there is no nursery")
    found = []
    for pid in leaks.descendants() - before:
        ids = inner_of(pid)
        if len(ids) == 2 and ids[1] != 1:
            found.append((ids[0], ids[1]))
    whole, plain = sorted(found, key=lambda pids: pids[1])
    return [whole, plain]


def inner_of(pid: int) -> list[int]:
    """Return a process's pid here, and in each of the process ids that it is in."""
    status = Path(f"/proc/{pid}/status").read_text()
    return [int(it) for it in status.partition("NSpid:")[2].splitlines()[0].split()]


def held(pid: int) -> list[str]:
    """Return what a process has open."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    return [os.readlink(link) for link in links if os.path.lexists(link)]


async def test_libraries_find_that_a_worker_is_not_the_nursery(tmp_path: Path) -> None:
    """Some take the same pid for the same process, which goes on drawing from one state."""
    before = leaks.descendants()
    async with standing(settings(tmp_path)) as tools, opened(tools) as sandbox:
        [pid] = (await sandbox.python("import os\nos.getpid()", LIMIT)).results
        assert int(pid) < 100
        assert all(inside > 10_000 for _, inside in nurseries_of(tools, before))


async def test_a_nursery_without_descriptors_refuses_and_goes_on(tmp_path: Path) -> None:
    before = leaks.descendants()
    async with standing(settings(tmp_path)) as tools, opened(tools) as old, opened(tools) as new:
        await old.python("x = 5", LIMIT)
        nursery, _ = nurseries_of(tools, before)[0]
        # What came with the last request is closed a moment after the fork.
        await eventually(lambda: not any(it.startswith("mnt:") for it in held(nursery)))
        soft, hard = resource.prlimit(nursery, resource.RLIMIT_NOFILE)
        used = {int(entry.name) for entry in Path(f"/proc/{nursery}/fd").iterdir()}
        free = [number for number in range(100) if number not in used]
        # From none that it could receive to one less than it needs.
        for most in free[:8]:
            resource.prlimit(nursery, resource.RLIMIT_NOFILE, (most, hard))
            refused = await new.python("1", LIMIT)
            assert refused.exit_code != 0, most
            assert refused.error is not None
        resource.prlimit(nursery, resource.RLIMIT_NOFILE, (soft, hard))
        assert (await new.python("1", LIMIT)).results == ["1"]
        assert (await old.python("x", LIMIT)).results == ["5"]


@pytest.mark.parametrize("number", [0, 1])
async def test_a_nurserys_death_loses_variables_and_nothing_else(
    tmp_path: Path, number: int
) -> None:
    before = leaks.descendants()
    async with standing(settings(tmp_path)) as tools, opened(tools) as sandbox:
        await sandbox.python("x = 1\nopen('kept', 'w').write('here')", LIMIT)
        leaks.kill(nurseries_of(tools, before)[number][0])
        await eventually(lambda: leaks.descendants() <= before)
        done = await sandbox.python("print(open('kept').read(), 'x' in globals())", LIMIT)
        assert done.stdout == "here False\n"
        assert "The variables of this sandbox are gone" in done.note
        assert done.note != WORKER_ENDED


async def test_a_nurserys_death_does_not_look_like_an_end_of_the_codes_own(tmp_path: Path) -> None:
    before = leaks.descendants()
    async with standing(settings(tmp_path)) as tools:
        nursery, _ = nurseries_of(tools, before)[0]
        async with opened(tools) as sandbox:
            code = "import time\nprint('begun')\nopen('begun', 'w').close()\ntime.sleep(60)"
            running = asyncio.create_task(sandbox.python(code, LIMIT))
            await eventually(Path(f"{sandbox.site.workspace}/home/begun").exists)
            leaks.kill(nursery)
            lost = await running
        assert lost.stdout == "begun\n"
        assert lost.error_kind == "killed"
        assert lost.error is not None
        assert lost.error["value"] == (
            "The sandbox ended while the code ran, which may have run in part."
        )
        assert not sandbox.gone


async def test_the_zygote_ends_with_its_parent_though_it_changed_users(tmp_path: Path) -> None:
    before = leaks.descendants()
    async with standing(settings(tmp_path)) as tools:
        nurseries_of(tools, before)  # or there is no parent
        async with tools.sandboxes.thrown_away() as sandbox:
            assert (await sandbox.python("1", LIMIT, last=True)).results == ["1"]
        pids = {pid: inner_of(pid) for pid in leaks.descendants() - before}
        [parent] = [pid for pid, inner in pids.items() if len(inner) == 1]
        [zygote] = [pid for pid, inner in pids.items() if inner[1:] == [1]]
        leaks.kill(parent)
        # Nobody else ends it meanwhile: the server's loop does not run.
        assert leaks.ended(zygote, 3.0)
