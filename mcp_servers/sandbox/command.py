"""Commands of a sandbox: one in the background, and what is to be said of the end of any."""

from __future__ import annotations

import time

from mcp_servers.sandbox.jobs import Job
from mcp_servers.sandbox.output import Outputs
from mcp_servers.sandbox.run import Run


class Command:
    """A command in the background."""

    def __init__(self, job: Job, outputs: Outputs) -> None:
        self.job = job
        self.outputs = outputs
        self._started = time.monotonic()
        self._run = Run(exit_code=None)

    @property
    def running(self) -> bool:
        """Whether it runs still."""
        return not self.job.ended.is_set()

    def run(self) -> Run:
        """Return what came of it until now."""
        run = self._run
        run.take_output(self.outputs.stdout, self.outputs.stderr)
        if self.running:
            run.duration_ms = round((time.monotonic() - self._started) * 1000, 1)
        elif run.exit_code is None and run.error is None:
            take_command_end(run, self.job)
        return run


def take_command_end(run: Run, job: Job) -> None:
    """Note how a command ended: its exit code is a result."""
    if job.fault or job.killed or job.exit_code is None:
        run.take_end(job.exit_code, job.killed, job.fault)
        if job.killed == "asked":
            run.error_kind = "stopped"
    else:
        code = job.exit_code
        run.exit_code = code if code >= 0 else 128 - code
