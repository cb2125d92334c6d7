"""Time, output and processes of foreign code: everything ends with its call."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from mcp_servers.sandbox.runner import CannotRun, Runner, TimeLimit
from tests import leaks

SHORT = TimeLimit(run_s=0.4, grace_s=0.3)
LONG = TimeLimit(run_s=20)

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
print(os.getpid(), flush=True)
os.execve("/bin/sleep", ["sleep", "60"], {})
'''])
"""


async def test_code_beyond_its_time_is_interrupted_and_its_output_kept() -> None:
    started = time.monotonic()
    done = await Runner().run("print('so far', end='')\nwhile True: pass", SHORT)
    assert time.monotonic() - started < 2
    assert (done.stdout, done.error_kind) == ("so far", "timeout")
    assert done.error is not None
    assert done.error["value"] == "The code ran longer than 0.4 s and was stopped."
    assert 'File "<code_block>", line 2' in done.error["traceback"]


@pytest.mark.parametrize(
    "code",
    [
        "import signal as s\ns.signal(s.SIGINT, s.SIG_IGN)\nprint('deaf')\nwhile True: pass",
        "import time\nprint('deaf')\nwhile True:\n try: time.sleep(60)\n except: pass",
        "import os, signal\nprint('deaf')\nos.kill(os.getpid(), signal.SIGSTOP)",
    ],
)
async def test_code_that_ignores_the_interrupt_is_killed(code: str) -> None:
    started = time.monotonic()
    done = await Runner().run(code, SHORT)
    assert time.monotonic() - started < 3
    assert (done.stdout, done.exit_code, done.error_kind) == ("deaf\n", 137, "timeout")


async def test_a_thread_that_never_ends_is_ended_with_the_time() -> None:
    code = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n'value'"
    done = await Runner().run(code, SHORT)
    assert (done.results, done.error_kind) == (["'value'"], "timeout")


async def test_a_daemon_ends_with_the_call_that_started_it() -> None:
    done = await Runner().run(DAEMON, LONG)
    assert done.error is None
    assert not leaks.alive(int(done.stdout))


async def test_what_holds_stdout_open_does_not_delay_the_answer() -> None:
    started = time.monotonic()
    code = "import subprocess\nfor _ in range(20): subprocess.Popen(['sleep', '60'])"
    done = await Runner().run(code, LONG)
    assert done.error is None
    assert time.monotonic() - started < 5


async def test_many_processes_in_sessions_of_their_own_all_end() -> None:
    code = (
        "import subprocess\n"
        "made = [subprocess.Popen(['sleep', '60'], start_new_session=True) for _ in range(40)]\n"
        "print(*[p.pid for p in made])"
    )
    done = await Runner().run(code, LONG)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 40
    assert not [pid for pid in pids if leaks.alive(pid)]


async def test_a_flood_is_cut_at_a_mebibyte_a_stream_and_blocks_nobody() -> None:
    runner = Runner()
    code = "import os\nfor _ in range(4000): os.write(1, b'x' * 65536)\nprint('end')"
    flood = asyncio.create_task(runner.run(code, LONG))
    small = await runner.run("print(1)", LONG)
    done = await flood
    assert (small.stdout, small.truncated) == ("1\n", False)
    assert (len(done.stdout), done.truncated, done.error) == (1 << 20, True, None)


async def test_a_cancelled_call_leaves_no_process(tmp_path: Path) -> None:
    before = leaks.descendants()
    running = tmp_path / "running"
    os.mkfifo(running)
    code = f"{DAEMON}open({str(running)!r}, 'w').close()\ntime.sleep(60)"
    task = asyncio.create_task(Runner().run(code, LONG))
    async with asyncio.timeout(5):
        await asyncio.to_thread(running.read_text)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert leaks.descendants() == before


async def test_calls_run_side_by_side() -> None:
    runner = Runner()
    started = time.monotonic()
    code = "import time; time.sleep(0.5)"
    await asyncio.gather(*(runner.run(code, LONG) for _ in range(6)))
    assert time.monotonic() - started < 2.5


async def test_too_much_work_is_refused_after_a_wait() -> None:
    runner = Runner(running=1, wait_s=0.05)
    first = asyncio.create_task(runner.run("import time; time.sleep(0.6)", LONG))
    await asyncio.sleep(0)
    with pytest.raises(CannotRun, match="too many"):
        await runner.run("1", LONG)
    assert (await first).error is None
    assert (await runner.run("2", LONG)).results == ["2"]


async def test_a_process_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(CannotRun, match="No such file"):
        await Runner().run("1", LONG)
