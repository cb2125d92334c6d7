"""Time, output and processes of foreign code: what was begun ends when it should."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mcp_servers.sandbox.confined.children import ENDED_UNSEEN
from mcp_servers.sandbox.run import TimeLimit
from mcp_servers.sandbox.sandbox import WORKER_ENDED
from mcp_servers.sandbox.tools import Tools
from tests import leaks
from tests.mcp_servers.sandbox.standing import LIMIT, eventually, opened, run, settings, standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT = TimeLimit(run_s=0.4, grace_s=0.3)

DAEMON = """
import os, subprocess, sys, time
# A daemon: new session, forked twice, environment and streams of its own choice.
subprocess.run([sys.executable, "-c", '''
import os, signal, sys
for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(sig, signal.SIG_IGN)
os.setsid()
if os.fork():
    os._exit(0)
os.execve("/bin/sleep", ["TOKEN", "61"], {})
'''])
"""
DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf')\n"


def pipes() -> int:
    """Return how many ends of pipes the server has."""
    held = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the folder itself
            held += os.readlink(f"/proc/self/fd/{descriptor}").startswith("pipe:")
    return held


def running(token: str) -> set[int]:
    """Return the processes of this run that are called so, as the host sees them."""
    return {pid for pid in leaks.descendants() if leaks.command(pid).startswith(token)}


async def test_code_beyond_its_time_is_interrupted_and_keeps_output_and_variables(
    tools: Tools,
) -> None:
    async with opened(tools) as sandbox:
        started = time.monotonic()
        done = await sandbox.python("x = 5\nprint('so far', end='')\nwhile True: pass", SHORT)
        assert time.monotonic() - started < 4
        assert (done.stdout, done.error_kind) == ("so far", "timeout")
        assert done.error is not None
        assert done.error["value"] == "The code ran longer than 0.4 s and was stopped."
        assert 'File "<code_block>", line 3' in done.error["traceback"]
        assert (await sandbox.python("x", LIMIT)).results == ["5"]


@pytest.mark.parametrize(
    "code",
    [
        DEAF + "while True: pass",
        "import time\nprint('deaf')\nwhile True:\n try: time.sleep(60)\n except: pass",
        "import os, signal\nprint('deaf')\nos.kill(os.getpid(), signal.SIGSTOP)",
        DEAF + "import os\nos.fork()\nos.setsid() if os.getpid() % 2 else None\nsignal.pause()",
    ],
)
async def test_code_that_ignores_the_interrupt_is_killed_and_the_sandbox_stays(
    code: str, tools: Tools
) -> None:
    async with opened(tools) as sandbox:
        await sandbox.python("open('kept', 'w').write('here')\nx = 1", LIMIT)
        done = await sandbox.python(code, SHORT)
        assert (done.stdout, done.exit_code, done.error_kind) == ("deaf\n", 137, "timeout")
        after = await sandbox.python("print(open('kept').read(), 'x' in globals())", LIMIT)
        assert (after.stdout, after.note) == ("here False\n", WORKER_ENDED)
        assert (await sandbox.python("1", LIMIT)).note == ""


async def test_a_thread_that_never_ends_is_ended_with_the_time(tools: Tools) -> None:
    code = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n'value'"
    done = await run(tools, code, SHORT)
    assert done.error_kind == "timeout"


async def test_what_a_killed_block_left_is_killed_and_what_was_there_before_lives_on(
    tools: Tools,
) -> None:
    async with opened(tools) as sandbox:
        await sandbox.command("exec -a before-7341 sleep 61 >/dev/null 2>&1 &", LIMIT)
        await eventually(lambda: bool(running("before-7341")))
        await sandbox.python(
            DAEMON.replace("TOKEN", "during-7341") + DEAF + "signal.pause()", SHORT
        )
        assert not running("during-7341")
        assert running("before-7341")
    assert not running("before-7341")


async def test_a_daemon_ends_with_its_sandbox(tools: Tools) -> None:
    async with opened(tools) as sandbox:
        done = await sandbox.python(DAEMON.replace("TOKEN", "daemon-5213"), LIMIT)
        assert done.error is None
        await eventually(lambda: bool(running("daemon-5213")))
    assert not running("daemon-5213")


async def test_what_holds_stdout_open_does_not_delay_the_answer(tools: Tools) -> None:
    async with opened(tools) as sandbox:
        code = "import subprocess\nfor _ in range(20): subprocess.Popen(['sleep', '60'])"
        assert (await sandbox.python(code, TimeLimit(5, 1))).error is None


async def test_what_a_command_leaves_running_can_go_on_printing(tools: Tools) -> None:
    line = "(for i in 1 2 3 4 5 6; do sleep 0.1; echo tick || exit; done; echo all > done) &"
    async with opened(tools) as sandbox:
        assert (await sandbox.command(line, LIMIT)).exit_code == 0
        waited = await sandbox.command("until [ -f done ]; do sleep 0.05; done; cat done", LIMIT)
        assert waited.stdout == "all\n"


async def test_a_flood_is_cut_at_a_mebibyte_a_stream_and_blocks_nobody(tools: Tools) -> None:
    code = "import os\nfor _ in range(2000): os.write(1, b'x' * 65536)\nprint('end')"
    flood = asyncio.create_task(run(tools, code))
    small = await run(tools, "print(1)")
    done = await flood
    assert (small.stdout, small.truncated) == ("1\n", False)
    assert (len(done.stdout), done.truncated, done.error) == (1 << 20, True, None)


@pytest.mark.parametrize("how", ["python", "command"])
async def test_a_cancelled_call_stops_what_it_ran_and_leaves_no_pipe(
    how: str, tools: Tools
) -> None:
    async with opened(tools) as sandbox:
        before = pipes()
        act: Callable[..., Awaitable[object]]
        if how == "python":
            line = "exec -a cancelled-81 sleep 61"
            act, what = (
                sandbox.python,
                f"import subprocess\nsubprocess.run(['bash', '-c', {line!r}])",
            )
        else:
            act, what = sandbox.command, "bash -c 'exec -a cancelled-81 sleep 61'"
        call = asyncio.ensure_future(act(what, LIMIT))
        await eventually(lambda: bool(running("cancelled-81")))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not running("cancelled-81")
        await eventually(lambda: pipes() == before)
        assert (await sandbox.python("6 * 7", LIMIT)).results == ["42"]


async def test_blocks_of_one_sandbox_run_in_turn_and_those_of_two_side_by_side(
    tools: Tools,
) -> None:
    note = "import time\nspan = [time.time()]\ntime.sleep(0.3)\nprint(span[0], time.time())"
    async with opened(tools) as one, opened(tools) as two:
        runs = await asyncio.gather(*(box.python(note, LIMIT) for box in (one, one, two)))
    spans = [tuple(map(float, run.stdout.split())) for run in runs]
    assert spans[0][1] <= spans[1][0]
    assert spans[2][0] < spans[0][1]


async def test_too_much_memory_ends_the_process_that_has_most_and_says_so(tools: Tools) -> None:
    async with opened(tools) as sandbox:
        code = "import os, time\nblock = bytearray(1300 << 20)\ntime.sleep(30)"
        done = await sandbox.python(code, LIMIT)
        assert (done.error_kind, done.exit_code) == ("killed", 137)
        assert done.error is not None
        assert "more memory than it may" in done.error["value"]
        assert (await sandbox.python("1", LIMIT)).note == WORKER_ENDED


async def test_a_full_sandbox_is_stopped_and_can_still_be_emptied(tools: Tools) -> None:
    fill = "for i in $(seq 6); do fallocate -l 200M part-$i; done; sleep 30"
    async with opened(tools) as sandbox:
        done = await sandbox.command(fill, LIMIT)
        assert (done.error_kind, done.exit_code) == ("killed", 137)
        assert done.error is not None
        assert "holds more" in done.error["value"]
        emptied = await sandbox.command("sleep 0.5; rm part-*; ls | wc -l", LIMIT)
        assert (emptied.stdout, emptied.error) == ("0\n", None)


async def test_the_zygotes_death_loses_variables_and_nothing_else(tmp_path: Path) -> None:
    before = leaks.descendants()
    async with standing(settings(tmp_path)) as tools, opened(tools) as sandbox:
        await sandbox.python("x = 1\nopen('kept', 'w').write('here')", LIMIT)
        await sandbox.start_command("exec -a forked-4471 sleep 61")
        await eventually(lambda: bool(running("forked-4471")))
        # Its parent waits for it, outside its namespaces, and is a child of ours.
        [zygote] = [
            pid
            for pid in running(sys.executable) - before
            if leaks.parent(leaks.parent(pid)) == os.getpid() and "zygote.py" in leaks.command(pid)
        ]
        leaks.kill(zygote)
        # Until the last of them has ended, a block may still reach a worker that is ending.
        await eventually(lambda: leaks.descendants() <= before)
        done = await sandbox.python("print(open('kept').read(), 'x' in globals())", LIMIT)
        assert done.stdout == "here False\n"
        assert "The variables of this sandbox are gone" in done.note


async def test_python_that_cannot_begin_is_no_success(tmp_path: Path) -> None:
    async with standing(settings(tmp_path, level="none")) as unconfined, opened(unconfined) as box:
        # Only on this level can a home be deleted.
        await box.command('cd / && rmdir "$HOME"', LIMIT)
        begun = await box.python("1", LIMIT)
    assert begun.exit_code == ENDED_UNSEEN
