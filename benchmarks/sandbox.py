"""What a sandbox costs, beside a fresh Python and, where they are there, bubblewrap and Docker.

Run `python -m benchmarks.sandbox [rounds]` on an otherwise idle machine: CPU time is that of the
whole machine. Calls are made to the sandboxes in process: what HTTP and MCP add is measured by
`benchmarks.hop`. With `--image NAME` of an image that has Python, `docker run` is measured, too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mcp_servers.sandbox.app import running
from mcp_servers.sandbox.run import TimeLimit
from mcp_servers.sandbox.sandboxes import Live
from mcp_servers.sandbox.settings import SandboxSettings
from mcp_servers.sandbox.tools import Tools

OWNER = "benchmark"
LIMIT = TimeLimit()
NUMPY = "import numpy, pandas\nint(numpy.arange(4).sum())"
PLAIN = "sum(range(4))"
MANY = 500
RUNS = 9
BUBBLEWRAP = ("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev")


async def timed(act: Callable[[], Awaitable[object]], times: int) -> float:
    """Return the median of some runs in ms."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        await act()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def program(*command: str) -> Callable[[], Awaitable[None]]:
    """Return what runs a program to its end."""

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
        assert await process.wait() == 0

    return run


def busy_s() -> float:
    """Return for how long the processors of this machine have worked, in seconds."""
    user, nice, system, _, _, irq, softirq, *_ = (
        int(field) for field in Path("/proc/stat").read_text().split()[1:9]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def report(what: str, value: float, unit: str = "ms") -> None:
    """Print a figure."""
    print(f"{what:40}{value:10.1f} {unit}", flush=True)


async def others(rounds: int, image: str | None) -> None:
    """Measure what else there is."""
    python = sys.executable
    few = max(3, rounds // 20)
    report("fresh python3", await timed(program(python, "-c", "1"), rounds))
    report("fresh python3 with numpy and pandas", await timed(program(python, "-c", NUMPY), few))
    if shutil.which("bwrap"):
        line = program(*BUBBLEWRAP, python, "-c", "1")
        report("bubblewrap + python3", await timed(line, rounds))
    if image is not None:
        line = program("docker", "run", "--rm", "--network=none", image, "python3", "-c", "1")
        report("docker run python3", await timed(line, few))


async def steps(tools: Tools, rounds: int) -> None:
    """Measure each step of a sandbox's life."""
    opened: list[Live] = []

    async def create() -> None:
        opened.append(await tools.sandboxes.create(OWNER, 600))

    report("create", await timed(create, rounds))
    waiting = iter(opened)

    async def first() -> None:
        await next(waiting).sandbox.python(NUMPY, LIMIT)

    report("first call, numpy and pandas", await timed(first, rounds))
    box = opened[0].sandbox
    report("next call", await timed(lambda: box.python("1", LIMIT), rounds))
    report("run_command", await timed(lambda: box.command("true", LIMIT), rounds))
    report("one-shot, numpy and pandas", await timed(lambda: one_shot(tools), rounds))
    report("one-shot, plain", await timed(lambda: one_shot(tools, PLAIN), rounds))
    await close(tools, opened)


async def one_shot(tools: Tools, code: str = NUMPY) -> None:
    """Run code in a sandbox of its own."""
    async with tools.sandboxes.thrown_away() as sandbox:
        assert (await sandbox.python(code, LIMIT, last=True)).results == ["6"]


async def throughput(tools: Tools, rounds: int, what: str, code: str) -> None:
    """Measure one-shots as many at a time as there are processors, and what each costs.

    Printed is the median of some runs; a machine that others share is at times half as fast.
    """
    cores = os.cpu_count() or 1
    share = max(20, rounds)

    async def turn() -> None:
        for _ in range(share):
            await one_shot(tools, code)

    taken, worked = [], []
    for _ in range(RUNS):
        busy, started = busy_s(), time.perf_counter()
        await asyncio.gather(*(turn() for _ in range(cores)))
        taken.append(cores * share / (time.perf_counter() - started))
        worked.append(cores * share / (busy_s() - busy))
    report(f"one-shots, {what}", statistics.median(taken), f"a second on {cores} cores")
    report("  a core", statistics.median(worked), "in a second of CPU time")
    report("  least and most", min(worked), f"to {max(worked):.1f}")


async def crowd(tools: Tools) -> None:
    """Have many sandboxes that live at the same time, and say what an idle one takes."""
    before = memory()
    started = time.perf_counter()
    opened = [await tools.sandboxes.create(OWNER, 600) for _ in range(MANY)]
    for number, live in enumerate(opened):
        await live.sandbox.python(f"x = {number}", LIMIT)
    seconds = time.perf_counter() - started
    each = (memory() - before) / MANY
    for number, live in enumerate(opened):
        assert (await live.sandbox.python("x", LIMIT)).results == [str(number)]
    report(f"{MANY} live sandboxes", seconds * 1000 / MANY, "ms each to open and use")
    report("an idle one with Python", each / (1 << 20), "MiB")
    await close(tools, opened)


async def close(tools: Tools, opened: list[Live]) -> None:
    """Close sandboxes."""
    for live in opened:
        await tools.sandboxes.close(live.id, OWNER)


def memory() -> int:
    """Return the memory of zygotes and their sandboxes in bytes, what they share counted once."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"confined/zygote.py" in (entry / "cmdline").read_bytes():
                    lines = (entry / "smaps_rollup").read_text().splitlines()
                    found += sum(int(li.split()[1]) for li in lines if li.startswith("Pss:"))
            except OSError:
                continue
    return found * 1024


@asynccontextmanager
async def served() -> AsyncIterator[Tools]:
    """Have a sandbox server in this process."""
    with tempfile.TemporaryDirectory() as folder:
        settings = SandboxSettings(
            state_dir=Path(folder), capacity=2 * MANY, owner_sandboxes=2 * MANY
        )
        async with running(settings) as tools:
            for code in (NUMPY, PLAIN):
                await one_shot(tools, code)  # the libraries are loaded now
            yield tools


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=100)
    parser.add_argument("--image", help="an image with python3, for docker run")
    arguments = parser.parse_args()
    await others(arguments.rounds, arguments.image)
    async with served() as tools:
        print(f"level {tools.sandboxes.level.name}")
        await steps(tools, arguments.rounds)
        await throughput(tools, arguments.rounds, "numpy and pandas", NUMPY)
        await throughput(tools, arguments.rounds, "plain", PLAIN)
        await crowd(tools)


if __name__ == "__main__":
    asyncio.run(main())
