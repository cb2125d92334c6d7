"""One keeper process with its pipes, as the server holds it, and what is read from the pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import anyio

KEEPER = Path(__file__).with_name("keeper.py")


class Child:
    """A keeper that waits for its job. `outputs` are the ends to read: stdout, stderr, report."""

    def __init__(self, workspace: str, stack: ExitStack) -> None:
        """Start the keeper; `stack` closes its pipes.

        Raises:
            OSError: no process or no descriptor was to be had.
        """
        self._workspace = workspace
        with ExitStack() as theirs:
            control, self._control = _pipe(theirs, stack)
            os.set_blocking(self._control, False)
            stdout_end, stdout = _pipe(stack, theirs)
            stderr_end, stderr = _pipe(stack, theirs)
            report_end, report = _pipe(stack, theirs)
            self.outputs = (stdout_end, stderr_end, report_end)
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(KEEPER), str(report)],
                stdin=control,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[report],
                start_new_session=True,
                cwd="/",
                env=environment(workspace),
            )
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        stack.callback(os.close, self._pidfd)

    async def send_job(self, code: str) -> None:
        """Hand the code over; a keeper that is gone already is no error here."""
        job = json.dumps({"code": code, "workspace": self._workspace}).encode() + b"\n"
        rest = memoryview(job)
        try:
            while rest:
                await anyio.wait_writable(self._control)
                rest = rest[os.write(self._control, rest) :]
        except BrokenPipeError:
            return

    def interrupt(self) -> None:
        """Send the code a SIGINT."""
        self._order(b"i")

    def kill(self) -> None:
        """Have the keeper kill everything, delete the workspace and end."""
        self._order(b"k")

    async def ended(self) -> None:
        """Wait until the keeper has ended."""
        await anyio.wait_readable(self._pidfd)

    async def ended_within(self, seconds: float) -> bool:
        """Wait at most `seconds` for the keeper's end; return whether it came."""
        with anyio.move_on_after(seconds):
            await self.ended()
            return True
        return False

    async def reap(self) -> int:
        """Wait for the keeper's end and return its exit code, -N for signal N."""
        await self.ended()
        return self._process.wait()

    def _order(self, what: bytes) -> None:
        try:
            os.write(self._control, what)
        except (BrokenPipeError, BlockingIOError):
            return


class Capture:
    """The first `limit` bytes from a pipe; the rest is dropped, so that no writer ever waits."""

    def __init__(self, limit: int) -> None:
        self.cut = False
        self._limit = limit
        self._kept = bytearray()

    async def read(self, pipe: int) -> None:
        """Read until the last writer has closed the pipe."""
        while True:
            await anyio.wait_readable(pipe)
            chunk = os.read(pipe, 1 << 16)
            if not chunk:
                return
            room = self._limit - len(self._kept)
            self._kept += chunk[:room]
            self.cut = self.cut or len(chunk) > room

    def text(self) -> str:
        """Return what was read as text; bytes that are not UTF-8 become U+FFFD."""
        return self._kept.decode(errors="replace")

    def report(self) -> tuple[list[str], dict[str, str] | None]:
        """Return a cell's report: results and error. It may be missing, or forged by the code."""
        try:
            report = json.loads(self._kept)
            error = report["error"]
            return [_clean(result) for result in report["results"]], error and {
                name: _clean(error[name]) for name in ("name", "value", "traceback")
            }
        except (ValueError, LookupError, TypeError, AttributeError):
            return [], None


def _clean(text: str) -> str:
    """Return `text` without lone surrogates, which no JSON writer takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def environment(workspace: str) -> dict[str, str]:
    """Return everything that foreign code finds in its environment."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": workspace,
        "TMPDIR": workspace,
        "LANG": "C.UTF-8",
    }


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Return both ends of a pipe; each stack closes its end."""
    read_end, write_end = os.pipe()
    reader.callback(os.close, read_end)
    writer.callback(os.close, write_end)
    return read_end, write_end
