"""One sandbox: what runs in it, one block of Python after the other, and commands beside them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from mcp_servers.sandbox.command import Command, take_command_end
from mcp_servers.sandbox.confined.frames import Message
from mcp_servers.sandbox.confined.site import Site
from mcp_servers.sandbox.conversation import Conversation, Gone
from mcp_servers.sandbox.jobs import Job, Jobs
from mcp_servers.sandbox.levels.base import Confinement, Level, LevelFault
from mcp_servers.sandbox.output import MAX_STREAM, Lingering, Outputs, Room
from mcp_servers.sandbox.plain import is_plain
from mcp_servers.sandbox.run import CannotRun, Run, TimeLimit

WATCHED_AFTER_S = 0.05
"""A call that takes longer is watched closely."""
LONG = 32_768  # characters of a block that waits for its reader: its time would run meanwhile
END_S = 5.0
MAX_COMMANDS = 16
BACKGROUND = 4 << 20
"""Bytes that all commands in the background keep together."""

VARIABLES_GONE = "[NOTE]: The variables of this sandbox are gone, its files are not: "
RESTARTED = VARIABLES_GONE + "it was restarted."
WORKER_ENDED = VARIABLES_GONE + "its Python process was ended."
T = TypeVar("T")
_NOT_OPENED = (LevelFault, Gone, TimeoutError)


class Sandbox:
    """A sandbox. Its confined side is opened when first needed, and anew if it was lost.

    Args:
        name: What the level calls it.
        site: Its workspace, user and limits.
        level: How it is confined.
        note: What the next reply has to say beside its result.
    """

    def __init__(self, name: str, site: Site, level: Level, note: str = "") -> None:
        self.name = name
        self.site = site
        self.commands: dict[str, Command] = {}
        self.gone = True
        """Whether nothing is left of what was ended."""
        self._level = level
        self._note = note
        self._confinement: Confinement | None = None
        self._first: Conversation | None = None
        self._jobs: Jobs | None = None
        self._worker: Conversation | None = None
        self._worker_job: Job | None = None
        self._had_variables = False
        self._opening = asyncio.Lock()
        self._ending = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._lingering = Lingering()
        self._background = Room(BACKGROUND)
        self._closed = False

    @property
    def flooded(self) -> bool:
        """Whether it holds many times more than it may, and has to be closed."""
        return self._jobs is not None and self._jobs.flooded

    async def open(self) -> None:
        """Have the confined side ready.

        Raises:
            CannotRun: it cannot be had.
        """
        await self._with_jobs(Jobs.ready)

    async def python(self, code: str, limit: TimeLimit, *, last: bool = False) -> Run:
        """Run a block of Python, after those that were sent before; cancelled, it is stopped.

        Args:
            code: The block.
            limit: How long it may take.
            last: No other block will come.

        Raises:
            CannotRun: it was not run.
        """
        async with self._turn:
            started = time.perf_counter()
            run = Run()
            outputs = _outputs()
            try:
                block = {"code": code, "last": last}
                await self._with_jobs(lambda jobs: self._run(run, block, outputs, jobs, limit))
                outputs.hand_over()  # not before, since the loop would be told of each pipe's end
                run.take_output(outputs.stdout, outputs.stderr)
            finally:
                self._lingering.take(outputs)
            run.duration_ms = round((time.perf_counter() - started) * 1000, 1)
            run.note = self._take_note()
            return run

    async def command(self, line: str, limit: TimeLimit) -> Run:
        """Run a line in the shell; cancelled, it is stopped.

        Raises:
            CannotRun: it was not run.
        """
        started = time.perf_counter()
        run = Run()
        outputs = _outputs()
        try:
            jobs, job = await self._start_command(line, outputs)
            async with self._stopping(jobs, job):
                with anyio.move_on_after(limit.run_s):
                    await job.ended.wait()
                timed_out = not job.ended.is_set()
                if timed_out:
                    await jobs.tell("interrupt", job)
                    with anyio.move_on_after(limit.grace_s):
                        await job.ended.wait()
            take_command_end(run, job)
            if timed_out:
                run.take_timeout(limit)
            run.take_output(outputs.stdout, outputs.stderr)
        finally:
            self._lingering.take(outputs)
        run.duration_ms = round((time.perf_counter() - started) * 1000, 1)
        run.note = self._take_note()
        return run

    async def start_command(self, line: str) -> tuple[str, str]:
        """Start a line in the shell, in the background; return its id and a note.

        Raises:
            CannotRun: it was not started.
        """
        running = sum(command.running for command in self.commands.values())
        if running >= MAX_COMMANDS:
            raise CannotRun(f"{running} commands run in the background, the most there may be")
        self._forget_old_commands()
        outputs = _outputs(self._background)
        try:
            _, job = await self._start_command(line, outputs)
        except BaseException:
            outputs.forget()
            raise
        name = f"command-{len(self.commands) + 1}-{job.name}"
        self.commands[name] = Command(job, outputs)
        return name, self._take_note()

    async def stop_command(self, command: Command) -> None:
        """End a command in the background and what it started."""
        if self._jobs is not None and command.running and not await self._jobs.end(command.job):
            await self._end()

    async def close(self) -> None:
        """End everything that runs. Safe to call twice; the workspace stays."""
        self._closed = True
        await self._end()
        # Whoever opens it at this moment gives up, and leaves nothing.
        with anyio.CancelScope(shield=True):
            async with self._opening:
                if self._confinement is not None:
                    await self._end()

    async def _end(self) -> None:
        """End everything that runs. Whoever asks while another does so waits for that."""
        with anyio.CancelScope(shield=True):
            async with self._ending:
                self._lose_worker()
                if self._first is not None:
                    self._first.close()
                    self._first = None
                if self._confinement is not None:
                    with anyio.move_on_after(END_S):
                        await self._confinement.wait_ended()
                    if not self._confinement.ended:
                        self._confinement.end_now()
                        with anyio.move_on_after(END_S):
                            await self._confinement.wait_ended()
                    self.gone = self.gone and self._confinement.gone
                    self._confinement = None
                self._lingering.close()
                for command in self.commands.values():
                    command.outputs.stdout.text()
                    command.outputs.close()

    async def _jobs_here(self) -> Jobs:
        """Return what runs in the confined side, which may still be about to be ready.

        Raises:
            CannotRun: the sandbox was closed.
            LevelFault: it cannot be had; the level may have died unnoticed, and be there again.
        """
        async with self._opening:
            if self._closed:
                raise CannotRun("the sandbox was closed")
            if self._jobs is not None and self._confinement and not self._confinement.ended:
                return self._jobs
            if self._confinement is not None:
                await self._end()
            if self._had_variables:
                self._note, self._had_variables = RESTARTED, False
            confinement = self._confinement = await self._level.open(self.name, self.site)
            self._first = Conversation(confinement.control)
            self._jobs = Jobs(self._first)
            return self._jobs

    async def _with_jobs(self, act: Callable[[Jobs], Awaitable[T]]) -> T:
        """Do something there; and if nothing was there to do it, open it anew and do it again.

        Raises:
            CannotRun: nothing was there twice, or the sandbox was closed.
        """
        why = "it ended; try again"
        for _ in range(2):
            jobs = None
            try:
                jobs = await self._jobs_here()
                return await act(jobs)
            except _NOT_OPENED as error:
                why = str(error) or why
                if jobs is not None and isinstance(error, Gone):
                    why = await jobs.why_not_ready() or why
                if jobs is not None and jobs is self._jobs:
                    await self._end()
                if self._closed:
                    raise CannotRun("the sandbox was closed") from None
        raise CannotRun(f"no sandbox could be opened: {why}")

    async def _ready_worker(self, jobs: Jobs, *, plain: bool) -> Job:
        worker, job = self._worker, self._worker_job
        if worker is not None and job is not None:
            if worker.is_idle() and not job.ended.is_set():
                return job
            # It ended after its last report, or says what it was not asked: the code meddled.
            if not job.ended.is_set() and not await jobs.end(job):
                await self._end()
                raise Gone
        self._lose_worker()
        if self._had_variables:
            self._note, self._had_variables = WORKER_ENDED, False
        ours, theirs = socket.socketpair()
        with theirs:
            worker = Conversation(ours)
            try:
                job = await jobs.start("python", [theirs.fileno()], plain=plain)
            except BaseException:
                worker.close()
                raise
        self._worker, self._worker_job = worker, job
        return job

    def _lose_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = self._worker_job = None

    async def _run(
        self, run: Run, block: Message, outputs: Outputs, jobs: Jobs, limit: TimeLimit
    ) -> None:
        """Run a block in the worker, which is had first.

        Raises:
            LevelFault, Gone, TimeoutError: nothing ran.
        """
        job = await self._ready_worker(jobs, plain=block["last"] and is_plain(block["code"]))
        had_variables, self._had_variables = self._had_variables, True
        try:
            await self._exchange(run, block, outputs, job, limit)
        except _NOT_OPENED:
            self._had_variables = had_variables
            raise

    async def _exchange(
        self, run: Run, block: Message, outputs: Outputs, job: Job, limit: TimeLimit
    ) -> None:
        """Send a block and wait for the report, and see to it that all is done in time.

        Raises:
            LevelFault, Gone, TimeoutError: the sandbox is not to be had, and nothing ran.
        """
        worker, jobs = self._worker, self._jobs
        assert worker is not None
        assert jobs is not None
        if len(block["code"]) > LONG:
            await jobs.ready()
        ends = anyio.current_time() + limit.run_s
        sent = False
        try:
            with anyio.CancelScope(deadline=ends) as scope:
                await worker.send(block, outputs.writers)
                sent = True
                scope.deadline = min(ends, anyio.current_time() + WATCHED_AFTER_S)
                run.take_report(await worker.receive())
                return
            await jobs.ready()
            ends = max(ends, jobs.ready_since + limit.run_s)
            if sent:
                await jobs.tell("busy", job)
                with anyio.CancelScope(deadline=ends):
                    run.take_report(await worker.receive())
                    return
            await self._stop_block(run, worker, job, limit.grace_s, heeds=sent)
            run.take_timeout(limit)
        except Gone:
            await jobs.ready()
            await self._note_lost_worker(run, job)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._stop_block(Run(), worker, job, limit.grace_s, heeds=sent)
            raise

    async def _stop_block(
        self, run: Run, worker: Conversation, job: Job, grace_s: float, *, heeds: bool
    ) -> None:
        """Interrupt what runs; if that does not end it, kill it, and with it the variables.

        Args:
            run: Takes what the worker reports.
            worker: The worker.
            job: Its job.
            grace_s: Seconds between the two.
            heeds: Whether it took the block; one that has half of it is killed at once.
        """
        assert self._jobs is not None
        if heeds:
            await self._jobs.tell("interrupt", job)
            with anyio.move_on_after(grace_s):
                try:
                    run.take_report(await worker.receive())
                    return
                except Gone:
                    pass
        if not await self._jobs.end(job):
            await self._end()
        run.take_end(job.exit_code, job.killed)
        self._lose_worker()

    async def _note_lost_worker(self, run: Run, job: Job) -> None:
        """Note in `run` how the worker ended, which closed its socket or sent what is no report."""
        assert self._jobs is not None
        self._lose_worker()
        await self._jobs.tell("hear", job)  # or its end would be heard a moment later
        with anyio.move_on_after(END_S):
            await job.ended.wait()
        if not job.ended.is_set() and not await self._jobs.end(job):
            await self._end()
        run.take_end(job.exit_code, job.killed, job.fault)

    async def _start_command(self, line: str, outputs: Outputs) -> tuple[Jobs, Job]:
        async def start(jobs: Jobs) -> tuple[Jobs, Job]:
            await jobs.ready()
            return jobs, await jobs.start("command", outputs.writers, command=line)

        started = await self._with_jobs(start)
        outputs.hand_over()
        return started

    @asynccontextmanager
    async def _stopping(self, jobs: Jobs, job: Job) -> AsyncIterator[None]:
        """End the job with the context, if it did not end by itself."""
        try:
            yield
        finally:
            if not job.ended.is_set():
                with anyio.CancelScope(shield=True):
                    if not await jobs.end(job):
                        await self._end()

    def _take_note(self) -> str:
        note, self._note = self._note, ""
        return note

    def _forget_old_commands(self) -> None:
        for name in [name for name, command in self.commands.items() if not command.running]:
            if len(self.commands) < 2 * MAX_COMMANDS and self._background.left >= 2 * MAX_STREAM:
                return
            self.commands.pop(name).outputs.forget()


def _outputs(room: Room | None = None) -> Outputs:
    try:
        return Outputs(room)
    except OSError as error:
        raise CannotRun(f"the server has no descriptor left: {error.strerror}") from None
