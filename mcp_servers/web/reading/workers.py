"""Warm worker processes: each reads one document at a time, and is ended when it takes too long."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Self

import anyio
from anyio.abc import Process

from mcp_servers.web.page import Page
from mcp_servers.web.reading.documents import Job
from mcp_servers.web.reading.worker import FRAME

ROOT = Path(__file__).parents[3]
MOST_JOBS = 500
"""Documents after which a worker is replaced, so that nothing grows for ever."""

GRACE_S = 0.3
"""Seconds that a worker has to end by itself."""


class WorkerDied(Exception):
    """The worker ended in the middle: out of memory, out of CPU time, or crashed."""


class WorkerSlow(Exception):
    """The worker did not answer in time, and was ended."""


class Workers:
    """At most `count` processes, started when they are needed and kept.

    Args:
        count: Most processes at a time; more documents wait.
        timeout_s: Seconds for one document, once it is its turn.
    """

    def __init__(self, count: int, timeout_s: float) -> None:
        self._turns = anyio.Semaphore(count)
        self._timeout_s = timeout_s
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    async def __aenter__(self) -> Self:
        """Return itself; nothing is started yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all workers."""
        with anyio.CancelScope(shield=True):
            for worker in list(self._all):
                await self._end(worker)

    async def run(self, job: Job) -> Page:
        """Have a document read.

        Raises:
            WorkerDied: no worker can read it.
            WorkerSlow: it takes too long.
        """
        async with self._turns:
            worker = self._idle.pop() if self._idle else None
            if worker is None:
                worker = _Worker(await _start())
                self._all.add(worker)
            try:
                with anyio.fail_after(self._timeout_s):
                    page = await worker.run(job)
            except TimeoutError:
                await self._end(worker)
                raise WorkerSlow from None
            except BaseException:
                await self._end(worker)
                raise
            if worker.jobs < MOST_JOBS:
                self._idle.append(worker)
            else:
                await self._end(worker)
            return page

    async def _end(self, worker: _Worker) -> None:
        self._all.discard(worker)
        with anyio.CancelScope(shield=True):
            await worker.end()


class _Worker:
    """One process and its pipes."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._buffer = bytearray()
        self._ready = False
        self.jobs = 0

    async def run(self, job: Job) -> Page:
        try:
            if not self._ready:
                await self._frame()
                self._ready = True
            frame = pickle.dumps(job)
            assert self._process.stdin is not None
            await self._process.stdin.send(FRAME.pack(len(frame)) + frame)
            page = pickle.loads(await self._frame())
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            raise WorkerDied from None
        self.jobs += 1
        assert isinstance(page, Page)
        return page

    async def _frame(self) -> bytes:
        [size] = FRAME.unpack(await self._exactly(FRAME.size))
        return await self._exactly(size)

    async def _exactly(self, size: int) -> bytes:
        assert self._process.stdout is not None
        while len(self._buffer) < size:
            self._buffer += await self._process.stdout.receive()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def end(self) -> None:
        """End the process: an idle one ends when its stdin closes, any other is killed."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        with anyio.move_on_after(GRACE_S):
            await self._process.wait()
        if self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                pass
        await self._process.aclose()


async def _start() -> Process:
    """Start a worker with an empty environment: a document's reader needs no secret."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "AGENTDOCK_INSTANCE")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return await anyio.open_process(
        [sys.executable, "-m", "mcp_servers.web.reading.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=str(ROOT),
        env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )
