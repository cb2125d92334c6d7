"""The jobs of one sandbox, as the server sees them: what its first process was told, and says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from mcp_servers.sandbox.confined.frames import Message
from mcp_servers.sandbox.conversation import Conversation, Gone
from mcp_servers.sandbox.levels.base import LevelFault

READY_S = 60.0
END_S = 3.0
"""Seconds for the first process to end a job, after which the whole sandbox is ended."""


@dataclass(slots=True)
class Job:
    """A job. Once `ended` is set, `exit_code`, `killed` and `fault` say how (see Run.take_end)."""

    name: str
    ended: anyio.Event = field(default_factory=anyio.Event)
    exit_code: int | None = None
    killed: str = ""
    fault: str = ""


class Jobs:
    """Starts, interrupts and ends jobs.

    Args:
        first: The sandbox's first process.
    """

    def __init__(self, first: Conversation) -> None:
        self._first = first
        self._jobs: dict[str, Job] = {}
        self._number = 0
        self.flooded = False
        """Whether the sandbox holds many times more than it may."""
        self.ready_since = 0.0
        """When it was confined, by the loop's clock."""
        self._is_ready = False
        self._fault = ""
        self._known = anyio.Event()
        first.listen(self._note, self._note_end)

    async def ready(self) -> None:
        """Wait until the sandbox is confined. What was started before runs from then on.

        Raises:
            LevelFault, Gone, TimeoutError: it will not be, and nothing ran in it.
        """
        if not self._is_ready:
            with anyio.fail_after(READY_S):
                await self._known.wait()
        if self._fault:
            raise LevelFault(self._fault)
        if not self._is_ready:
            raise Gone

    async def why_not_ready(self) -> str:
        """Return why it will not be; nothing if nobody said so, or it is ready."""
        try:
            await self.ready()
        except LevelFault as fault:
            return str(fault)
        except (Gone, TimeoutError):
            pass
        return ""

    async def start(self, do: str, descriptors: Sequence[int], **more: object) -> Job:
        """Ask for a job with some descriptors, which starts once the sandbox is ready.

        Raises:
            Gone: the sandbox has ended.
        """
        self._number += 1
        job = Job(f"job-{self._number}")
        self._jobs[job.name] = job
        try:
            await self._first.send({"do": do, "job": job.name, **more}, descriptors)
        except Gone:
            del self._jobs[job.name]
            raise
        return job

    async def tell(self, do: str, job: Job) -> None:
        """Have a job's end heard of, or it watched closely, interrupted or killed, if it runs."""
        try:
            await self._first.send({"do": do, "job": job.name})
        except Gone:
            return

    async def end(self, job: Job) -> bool:
        """Kill a job and wait for its end; return whether that came."""
        await self.tell("kill", job)
        with anyio.move_on_after(END_S):
            await job.ended.wait()
        return job.ended.is_set()

    def _note(self, message: Message) -> None:
        """Note what the first process says."""
        if "job" not in message:
            self._is_ready = "ready" in message
            self.ready_since = anyio.current_time()
            self._fault = str(message.get("fault", ""))
            self._known.set()
            return
        self.flooded = self.flooded or message.get("killed") == "flood"
        job = self._jobs.pop(str(message.get("job")), None)
        if job is not None:
            code = message.get("exit")
            job.exit_code = code if isinstance(code, int) else None
            job.killed = str(message.get("killed", ""))
            job.fault = str(message.get("fault", ""))
            job.ended.set()

    def _note_end(self) -> None:
        """Note that the first process is gone: every job has ended."""
        self._known.set()
        for job in self._jobs.values():
            job.ended.set()
        self._jobs.clear()
