"""What became of a piece of code, or of a command, and how long it might take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from mcp_servers.sandbox.output import Output

KILLED_FOR = {
    "memory": "It was ended: the sandbox used more memory than it may.",
    "disk": "It was ended: the sandbox holds more, or more files, than it may.",
    "flood": "It was ended, and the sandbox with it: that held many times more than it may.",
    "asked": "It was stopped.",
}


class CannotRun(Exception):
    """Nothing ran; the message says why."""


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """Seconds after which code is interrupted and, `grace_s` later, killed."""

    run_s: float = 60.0
    grace_s: float = 2.0


@dataclass(slots=True)
class Run:
    """What became of it.

    `error` holds `name`, `value` and `traceback`; `images` are PNGs as base64. `error_kind` is
    None, `exception` (raised by the code), `exit` (it left early), `killed` (by a signal, or for
    what it used), `timeout` or `stopped`. `truncated` says that there was more than is kept.
    """

    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = 0
    results: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    error: dict[str, str] | None = None
    error_kind: str | None = None
    truncated: bool = False
    duration_ms: float = 0.0
    note: str = ""

    def take_output(self, stdout: Output, stderr: Output) -> None:
        """Note what was printed."""
        self.stdout, self.stderr = stdout.text(), stderr.text()
        self.truncated = self.truncated or stdout.cut or stderr.cut

    def take_report(self, report: Mapping[str, Any]) -> None:
        """Note what the worker reported; foreign code may have forged it."""
        texts = iter(report["texts"])
        for name in ("results", "html", "images"):
            count = report.get(name)
            if isinstance(count, int) and 0 < count <= len(report["texts"]):
                setattr(self, name, list(islice(texts, count)))
        code = report.get("exit_code")
        if report.get("error"):
            self.error = {name: next(texts, "") for name in ("name", "value", "traceback")}
            self.error_kind = "exit" if self.error["name"] == "SystemExit" else "exception"
        if isinstance(code, int):
            self.exit_code = code & 0xFF
        self.truncated = self.truncated or bool(report.get("dropped"))

    def take_end(self, exit_code: int | None, killed: str, fault: str = "") -> None:
        """Note how its process ended before it reported.

        Args:
            exit_code: -N for signal N; None if nobody knows.
            killed: Why it was ended, if it was ended.
            fault: Why it could not be started, if it could not.
        """
        self.exit_code = exit_code if exit_code is None or exit_code >= 0 else 128 - exit_code
        if fault:
            self.fail("exit", "NotStarted", f"It could not be started: {fault}.")
        elif killed:
            self.fail("killed", "ProcessKilled", KILLED_FOR.get(killed, "It was ended."))
        elif exit_code is None:
            what = "The sandbox ended while the code ran, which may have run in part."
            self.fail("killed", "ProcessKilled", what)
        elif exit_code < 0:
            what = f"The process was ended by signal {-exit_code}."
            self.fail("killed", "ProcessKilled", what)
        else:
            what = f"The process left with exit code {exit_code} before the code was finished."
            self.fail("exit", "ProcessExit", what)

    def take_timeout(self, limit: TimeLimit) -> None:
        """Note that its time was over."""
        what = f"The code ran longer than {limit.run_s:g} s and was stopped."
        self.fail("timeout", "TimeoutError", what)

    def fail(self, kind: str, name: str, what: str) -> None:
        """Set the error, keeping the traceback that there may be."""
        trace = self.error["traceback"] if self.error else ""
        self.error = {"name": name, "value": what, "traceback": trace}
        self.error_kind = kind
