"""Runs a piece of code in child processes of its own: start, time limit, clean end."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import anyio

from mcp_servers.sandbox import processes, workspace
from mcp_servers.sandbox.child import Capture, Child

MAX_STREAM = 1 << 20
MAX_REPORT = 16 << 20
KILL_S = 2.0
"""Seconds that a keeper has to end everything before it is killed itself."""


class CannotRun(Exception):
    """Nothing ran: no process could be started, or too many run already."""


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """Seconds after which code is interrupted and, `grace_s` later, killed."""

    run_s: float = 60.0
    grace_s: float = 2.0


@dataclass(slots=True)
class Run:
    """What became of the code. `error` holds `name`, `value` and `traceback`.

    `error_kind` is None, `exception` (raised by the code), `exit` (it left early), `killed` (by a
    signal) or `timeout`. `truncated` says that more than 1 MiB was printed on a stream.
    """

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    results: list[str] = field(default_factory=list)
    error: dict[str, str] | None = None
    error_kind: str | None = None
    truncated: bool = False
    duration_ms: float = 0.0


class Runner:
    """Runs code, at most `running` pieces at once; a further one waits up to `wait_s` seconds."""

    def __init__(self, running: int = 64, wait_s: float = 30.0) -> None:
        self._places = anyio.Semaphore(running)
        self._wait_s = wait_s
        self._keepers: set[int] = set()

    async def run(self, code: str, limit: TimeLimit) -> Run:
        """Run `code` and say what it did. Once this has returned or raised, nothing of it is left.

        Raises:
            CannotRun: nothing ran.
        """
        with anyio.move_on_after(min(self._wait_s, limit.run_s)) as waiting:
            await self._places.acquire()
        if waiting.cancelled_caught:
            raise CannotRun("too many pieces of code are running; try again in a moment")
        try:
            with ExitStack() as stack:
                return await self._run(code, limit, stack)
        finally:
            self._places.release()

    async def _run(self, code: str, limit: TimeLimit, stack: ExitStack) -> Run:
        started = time.perf_counter()
        try:
            child = Child(workspace.make(stack), stack)
        except OSError as error:
            raise CannotRun(f"no process could be started: {error}") from None
        self._keepers.add(child.pid)
        streams = Capture(MAX_STREAM), Capture(MAX_STREAM), Capture(MAX_REPORT)
        try:
            async with anyio.create_task_group() as readers:
                for capture, pipe in zip(streams, child.outputs, strict=True):
                    readers.start_soon(capture.read, pipe)
                timed_out = await _within(child, code, limit)
                status = await self._end(child)
                # Every writer is gone now, so the readers are about to reach the end.
                readers.cancel_scope.deadline = anyio.current_time() + KILL_S
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(child)
        run = _outcome(streams, status, limit if timed_out else None)
        run.duration_ms = round((time.perf_counter() - started) * 1000, 1)
        return run

    async def _end(self, child: Child) -> int:
        """End whatever of the child is left; harmless when called again."""
        child.kill()
        if not await child.ended_within(KILL_S):
            processes.kill(child.pid)
        status = await child.reap()
        self._keepers.discard(child.pid)
        if status < 0:
            with anyio.move_on_after(KILL_S):
                await self._end_orphans()
        return status

    async def _end_orphans(self) -> None:
        """End what a killed keeper left: those processes are children of this server now."""
        while orphans := set(processes.children(os.getpid())) - self._keepers:
            for pid in orphans:
                processes.kill(pid)
                processes.reap(pid)
            await anyio.sleep(0.005)


async def _within(child: Child, code: str, limit: TimeLimit) -> bool:
    """Run the code; interrupt it when its time is up. Return whether that was needed."""
    with anyio.move_on_after(limit.run_s):
        await child.send_job(code)
        await child.ended()
        return False
    child.interrupt()
    await child.ended_within(limit.grace_s)
    return True


def _outcome(
    streams: tuple[Capture, Capture, Capture], status: int, passed: TimeLimit | None
) -> Run:
    """Put together what the code printed and reported, and how its process ended."""
    stdout, stderr, reported = streams
    results, error = reported.report()
    run = Run(
        stdout=stdout.text(),
        stderr=stderr.text(),
        exit_code=status if status >= 0 else 128 - status,
        results=results,
        error=error,
        truncated=stdout.cut or stderr.cut,
    )
    if passed is not None:
        trace = run.error["traceback"] if run.error else ""
        what = f"The code ran longer than {passed.run_s:g} s and was stopped."
        run.error = {"name": "TimeoutError", "value": what, "traceback": trace}
        run.error_kind = "timeout"
    elif run.error is not None:
        run.error_kind = "exit" if run.error["name"] == "SystemExit" else "exception"
    elif run.exit_code > 128:
        what = f"The process was ended by signal {run.exit_code - 128}."
        run.error = {"name": "ProcessKilled", "value": what, "traceback": ""}
        run.error_kind = "killed"
    elif run.exit_code != 0:
        what = f"The process left with exit code {run.exit_code} before the code was finished."
        run.error = {"name": "ProcessExit", "value": what, "traceback": ""}
        run.error_kind = "exit"
    return run
