"""Code that is out to hide what it uses, to forge what it reports, or to hold up its server."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import pytest_asyncio

from mcp_servers.sandbox.answers import answered
from mcp_servers.sandbox.confined.watch import usage
from mcp_servers.sandbox.run import Run, TimeLimit
from mcp_servers.sandbox.tools import Tools
from tests.mcp_servers.sandbox.standing import (
    LIMIT,
    ME,
    eventually,
    fields,
    meta,
    opened,
    refused,
    settings,
    standing,
    text,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAKE = "block = bytes([1]) * (300 << 20)\ntime.sleep(60)\n"
UNREADABLE = """
shutil.copy('/usr/bin/python3', 'python')
os.chmod('python', 0o111)
done = subprocess.run(['./python', '-c', 'import time\\n' + TAKE])
if done.returncode == -9: os.kill(os.getpid(), 9)
"""
PIECES = """
one = 'block = bytes([1]) * (18 << 20)\\nimport time\\ntime.sleep(60)'
children = [subprocess.Popen(['python3', '-c', one]) for _ in range(16)]
while sum(child.poll() is None for child in children) > 10: time.sleep(0.1)
os.kill(os.getpid(), 9)
"""
FORGE = """
import os, socket, struct
for number in range(3, 256):
    try:
        server = socket.socket(fileno=os.dup(number))
        server.getpeername()
        break
    except OSError:
        continue
def forge(json, texts=b""):
    server.sendall(struct.pack("!II", len(json), len(texts)) + json + texts)
"""

STOP_OTHERS = """
import os, signal
open("begun", "w")
while True:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            try:
                os.kill(int(name), signal.SIGSTOP)
            except OSError:
                pass
"""

SEEK = """
import re
found = set()
for line in open("/proc/self/maps"):
    begin, end = (int(at, 16) for at in line.split()[0].split("-"))
    try:
        with open("/proc/self/mem", "rb", 0) as memory:
            memory.seek(begin)
            found |= set(re.findall(rb"/sandboxes/([0-9a-f]{32})", memory.read(end - begin)))
    except (OSError, OverflowError):
        continue
print(*(name.decode() for name in found))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tools]:
    """A sandbox server that grants little memory and disk."""
    folder = tmp_path_factory.mktemp("small")
    async with standing(settings(folder, memory=200, disk=60, files=1000)) as tools:
        yield tools


@pytest.mark.parametrize(
    "code",
    [
        "libc.prctl(4, 0, 0, 0, 0)\n" + TAKE,
        "time.sleep(2.5)\n" + TAKE,
        UNREADABLE,
        pytest.param(PIECES, marks=pytest.mark.slow),
    ],
    ids=["undumpable", "after-a-rest", "unreadable", "in-small-pieces"],
)
async def test_memory_that_is_hidden_is_seen(code: str, small: Tools) -> None:
    start = "import ctypes, os, shutil, subprocess, time\nlibc = ctypes.CDLL(None)\n"
    async with opened(small) as sandbox:
        await sandbox.python(f"TAKE = {TAKE!r}\n{start}", LIMIT)
        done = await sandbox.python(code, TimeLimit(40, 1))
        assert (done.error_kind, done.exit_code) == ("killed", 137)
        assert done.error is not None
        assert "more memory" in done.error["value"] or "signal 9" in done.error["value"]


@pytest.mark.parametrize(
    "code",
    [
        "mkdir closed; chmod 300 closed; cd closed",
        "for i in $(seq 30); do mkdir $(printf d%.0s $(seq 200)); cd d*; done",
    ],
    ids=["in-a-closed-folder", "too-deep"],
)
async def test_files_that_are_hidden_are_seen(code: str, small: Tools) -> None:
    fill = "for i in 1 2 3; do head -c 40M /dev/zero > part-$i; done; sleep 8"
    async with opened(small) as sandbox:
        done = await sandbox.command(f"{code}; {fill}", LIMIT)
        assert done.error is not None
        assert "holds more" in done.error["value"]
    assert not list(Path(sandbox.site.workspace).parent.glob("*/home/*"))


async def test_what_is_shown_within_a_folder_does_not_count_as_its_own(tmp_path: Path) -> None:
    for name in ("mine", "shown/there", "shown/there/deep"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    assert usage([str(tmp_path)], {str(tmp_path / "shown/there")})[1] == 3
    assert usage([str(tmp_path)])[1] == 4


async def test_a_forged_report_of_millions_of_parts_is_not_parsed(tools: Tools) -> None:
    code = FORGE + 'forge(b\'{"results":[\' + (b\'"",\' * 10_000_000)[:-1] + b"]}")'
    async with opened(tools) as sandbox:
        done = await sandbox.python(code, LIMIT)
        # To parse it took seconds, in which nobody else was served.
        assert (done.results, done.error_kind) == ([], "exit")


@pytest.mark.parametrize(
    ("json", "texts"),
    [
        ('{"results": 7, "texts": [2]}', "ab"),
        ('{"results": 1, "texts": [99]}', "ab"),
        ('{"results": 1, "texts": [-1, 1]}', "ab"),
        ('{"results": 1, "texts": "ab"}', "ab"),
        ('{"results": [], "error": true, "exit_code": "x"}', ""),
        ("[1]", ""),
        ("[" * 60_000, ""),
    ],
)
async def test_a_forged_report_harms_its_own_sandbox_only(
    json: str, texts: str, tools: Tools
) -> None:
    async with opened(tools) as sandbox, opened(tools) as other:
        code = f"{FORGE}\nforge({json!r}.encode(), {texts!r}.encode())"
        assert isinstance(await sandbox.python(code, LIMIT), Run)
        assert (await other.python("6 * 7", LIMIT)).results == ["42"]
        # The first may reach the worker that is about to end.
        again = [(await sandbox.python("6 * 7", LIMIT)).results for _ in range(2)]
        assert again[-1] == ["42"]


async def test_values_without_end_are_cut_and_the_variables_stay(tools: Tools) -> None:
    async with opened(tools) as sandbox:
        code = (
            "x = 5\nfor _ in range(70): display('y' * 1_000_000)\nfor n in range(2000): display(n)"
        )
        done = await sandbox.python(code, LIMIT)
        assert done.error is None
        assert done.truncated
        assert sum(map(len, done.results)) <= 1 << 20
        assert (await sandbox.python("x", LIMIT)).results == ["5"]


@pytest.mark.parametrize("line", ["echo a\0b", "echo \ud800", "echo " + "x" * 200_000])
async def test_a_command_that_cannot_be_started_says_why_and_leaves_the_variables(
    line: str, tools: Tools
) -> None:
    async with opened(tools) as sandbox:
        await sandbox.python("x = 5", LIMIT)
        done = await sandbox.command(line, LIMIT)
        assert done.exit_code == 126
        assert done.error is not None
        assert "could not be started" in done.error["value"]
        assert (await sandbox.python("x", LIMIT)).results == ["5"]


async def test_a_worker_that_was_stopped_holds_up_no_large_block(tools: Tools) -> None:
    stop = (
        "import os, time\nif os.fork() == 0:\n    time.sleep(0.2)\n"
        "    os.kill(os.getppid(), 19)\n    open('stopped', 'w')\n    os._exit(0)\n"
    )
    async with opened(tools) as sandbox:
        await sandbox.python(stop, LIMIT)
        await sandbox.command("until [ -e stopped ]; do sleep 0.05; done", LIMIT)
        async with asyncio.timeout(10):
            done = await sandbox.python("'" + "x" * 3_000_000 + "'", TimeLimit(0.5, 0.2))
        assert done.error_kind == "timeout"
        assert (await sandbox.python("6 * 7", LIMIT)).results == ["42"]


async def test_a_sandbox_that_is_closed_while_it_opens_stays_closed(tools: Tools) -> None:
    for turns in range(0, 60, 4):
        live = await tools.sandboxes.create(ME, 600)
        await live.sandbox._end()  # as when its first process died
        call = asyncio.create_task(live.sandbox.python("1", LIMIT))
        for _ in range(turns):
            await asyncio.sleep(0)
        await tools.sandboxes.close(live.id, ME)
        [came] = await asyncio.gather(call, return_exceptions=True)
        assert isinstance(came, Run) or str(came) == "the sandbox was closed"
        assert live.sandbox._confinement is None


async def test_commands_in_the_background_keep_a_bounded_output_together(tools: Tools) -> None:
    async with opened(tools) as sandbox:
        for _ in range(8):
            await sandbox.start_command("head -c 2000000 /dev/zero; echo end >> done")
        await sandbox.command("until [ $(grep -c end done) = 8 ]; do sleep 0.05; done", LIMIT)
        kept = [len(command.run().stdout) for command in sandbox.commands.values()]
        assert sum(kept) <= 4 << 20
        name, _ = await sandbox.start_command("echo seen")
        await sandbox.commands[name].job.ended.wait()
        assert sandbox.commands[name].run().stdout == "seen\n"


async def test_figures_come_with_the_block_that_made_them_though_it_failed(
    tmp_path: Path,
) -> None:
    async with standing(settings(tmp_path, preload="matplotlib.pyplot")) as tools:
        live = await tools.sandboxes.create(ME, 600)
        plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\n"
        failed = await tools.python(meta(), plot + "1 / 0", live.id, None)
        after = await tools.python(meta(), "'next'", live.id, None)
        assert (len(failed.content), fields(failed)["error_kind"]) == (2, "exception")
        assert len(after.content) == 1


async def test_a_sandbox_that_fills_up_again_and_again_is_closed_and_its_owner_is_told(
    small: Tools,
) -> None:
    live = await small.sandboxes.create(ME, 600)
    many = "import os\nd = str(len(os.listdir()))\nos.mkdir(d)\n"
    many += "for n in range(10**6): os.close(os.open(f'{d}/{n}', os.O_CREAT | os.O_WRONLY))"
    refusal = ""
    async with asyncio.timeout(30):
        while not refusal:
            result = await answered(small.python(meta(), many, live.id, 20))
            refusal = text(result) if result.is_error else ""
            await asyncio.sleep(0.05)
    assert "held many times more" in refusal
    await eventually(lambda: not (live.record.folder / "home").exists())
    assert "held many times more" in await refused(small.python(meta(), "1", live.id, None))


async def test_one_owner_opens_no_more_sandboxes_than_allowed_though_all_at_once(
    tmp_path: Path,
) -> None:
    async with standing(settings(tmp_path, owner_sandboxes=3)) as tools:
        creating = (answered(tools.create(meta(), 600)) for _ in range(8))
        results = await asyncio.gather(*creating)
    assert sum(not result.is_error for result in results) == 3


async def test_cancelled_creations_leave_no_sandbox(tmp_path: Path) -> None:
    async with standing(settings(tmp_path)) as tools:
        for turns in range(30):
            async with anyio.create_task_group() as creating:
                creating.start_soon(tools.sandboxes.create, ME, 600.0)
                for _ in range(turns):
                    await asyncio.sleep(0)
                creating.cancel_scope.cancel()
        assert not tools.sandboxes.list(ME)
        assert not list(tmp_path.glob("sandboxes/*"))


async def test_code_with_half_characters_runs_as_a_file(tools: Tools) -> None:
    result = await answered(tools.execute(meta(), "print('\ud800')", None, None))
    assert "UnicodeEncodeError" in fields(result)["output"]


async def test_a_worker_has_no_name_of_another_sandbox_in_its_memory(tools: Tools) -> None:
    async with opened(tools) as one, opened(tools) as other:
        await one.python("1", LIMIT)
        seen = await other.python(SEEK, LIMIT)
    assert (seen.stdout, seen.error) == ("\n", None)


async def test_a_worker_that_is_stopped_while_it_is_born_takes_nothing_with_it(
    tools: Tools,
) -> None:
    async with opened(tools) as sandbox:
        name, _ = await sandbox.start_command(f"exec python3 -S -c '{STOP_OTHERS}'")
        begun = Path(sandbox.site.workspace, "home/begun")
        await eventually(begun.exists)
        for _ in range(40):
            if (await sandbox.python("1", TimeLimit(0.3, 0.2))).error_kind == "timeout":
                break
        else:
            pytest.fail("it stopped none")
        assert sandbox.commands[name].running


TOUCHES = (
    "import os\nos.listdir()",
    "import os\nos.chmod('.', 0o777)\nos.chmod('.', 0o700)",
    "import os\nos.setxattr('.', 'user.said', b'to the next')",
    "import os\nos.close(os.open('f', os.O_CREAT))\nos.unlink('f')",
    "import os\nos.utime('/tmp', (1, 1))",
    "import tempfile\ntempfile.TemporaryFile().close()",
)


async def test_a_folder_is_handed_on_to_another_sandbox_only_if_nobody_touched_it(
    tools: Tools,
) -> None:
    """One call after the other, so that folders wait for as long as it takes to tell changes."""
    if "ends" not in tools.sandboxes.level.promises():
        pytest.skip("something may still run in them")

    async def run_in(code: str) -> str:
        async with tools.sandboxes.thrown_away() as sandbox:
            assert (await sandbox.python(code, LIMIT, last=True)).exit_code == 0
            return sandbox.site.workspace

    plain = [await run_in("1") for _ in range(40)]
    assert len(set(plain)) < len(plain)
    touched = [await run_in(code) for code in TOUCHES]
    later = [await run_in("import os\nassert not os.listxattr('.')") for _ in range(40)]
    assert not set(touched) & set(later)
    assert not [folder for folder in touched if Path(folder).exists()]


CAPABILITIES = """
import ctypes
status = open('/proc/self/status').read().splitlines()
held = [line.split()[1] for line in status if line.startswith(('CapPrm', 'CapEff', 'CapAmb'))]
print({int(it, 16) for it in held}, hex(ctypes.CDLL(None).prctl(27, 0, 0, 0, 0)))
"""


async def test_code_has_no_capability_and_no_program_gives_it_one(tools: Tools) -> None:
    """Even root would have none: the bits say so, and are locked."""
    if tools.sandboxes.level.name != "namespaces":
        pytest.skip("capabilities are another level's")
    async with opened(tools) as sandbox:
        block = await sandbox.python(CAPABILITIES, LIMIT)
        line = await sandbox.command(f"python3 -c {shlex.quote(CAPABILITIES)}", LIMIT)
        assert (block.stdout, line.stdout) == ("{0} 0xef\n", "{0} 0xef\n")
