"""The words agents were trained on: results, refusals, throw-away ids, and how long text is cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mcp_servers.sandbox.run import Run

THROW_AWAY = frozenset(
    """
    default sandbox1 sandbox some_id new_sandbox python create_sandbox sandbox123 temp sandbox-0
    sandbox-1 sandbox_0 sandbox_1 new 0 auto default_sandbox none sandbox_12345 dummy sandbox_01
    """.split()  # noqa: SIM905 (a list of 21 would take 21 lines)
) | {""}
"""Ids that mean: no sandbox of mine, just run it."""

MAX_TEXT = 20_000
HEAD = 14_000
TAIL = 6_000


def execution(run: Run) -> str:
    """Return the text of a run's result, not yet cut."""
    results = ", ".join(f"Result({result})" for result in run.results)
    stdout, stderr = ([text] if text else [] for text in (run.stdout, run.stderr))
    error = "None"
    if run.error is not None:
        fields = ", ".join(f"{name}={text!r}" for name, text in run.error.items())
        error = f"ExecutionError({fields})"
    logs = f"Logs(stdout: {stdout}, stderr: {stderr})"
    return f"Execution(Results: [{results}], Logs: {logs}, Error: {error})"


def cut(text: str) -> str:
    """Return `text`; if it is over 20,000 characters, its beginning and its end."""
    if len(text) <= MAX_TEXT:
        return text
    omitted = len(text) - HEAD - TAIL
    return (
        f"{text[:HEAD]}\n[... {omitted} characters omitted ...]\n{text[-TAIL:]}"
        " [Result truncated due to length limit]"
    )


def command_result(run: Run) -> str:
    """Return the text of a command's result, not yet cut."""
    error = run.error["value"] if run.error else ""
    return (
        f"CommandResult(stderr={run.stderr!r}, stdout={run.stdout!r}, "
        f"exit_code={run.exit_code}, error={error!r})"
    )


def fields(run: Run) -> dict[str, Any]:
    """Return the same result as fields, for programs. Pictures come as content."""
    return {
        "stdout": run.stdout,
        "stderr": run.stderr,
        "exit_code": run.exit_code,
        "results": run.results,
        "html": run.html,
        "error": run.error,
        "truncated": run.truncated,
        "duration_ms": run.duration_ms,
        "error_kind": run.error_kind,
        "note": run.note,
    }


def sandbox_list(lines: Iterable[dict[str, Any]]) -> str:
    """Return what sandboxes there are."""
    shown = [f"{line['sandbox_id']} (expires {line['expires_at']})" for line in lines]
    return "\n".join(shown) or "You have no sandbox."


def not_valid(sandbox_id: str) -> str:
    """Return the refusal of an id that models make up."""
    return (
        f"[ERROR]: {sandbox_id!r} is not a valid sandbox_id. "
        "Please create a real sandbox first using the create_sandbox tool."
    )


def no_such_sandbox(sandbox_id: str) -> str:
    """Return the refusal of an id that was never handed out, or to somebody else."""
    return (
        f"[ERROR]: Failed to connect to sandbox {sandbox_id}. "
        "Make sure the sandbox is created and the sandbox_id is correct."
    )


def elsewhere(sandbox_id: str) -> str:
    """Return who serves a sandbox that was opened before the tool server was changed."""
    return (
        f"[ERROR]: Sandbox {sandbox_id} was opened before the tool server was changed, and is "
        "served by the one before until it expires; only its tools reach it there."
    )


def expired(sandbox_id: str, ttl_s: float) -> str:
    """Return what became of a sandbox that was not used for too long."""
    return (
        f"[ERROR]: Sandbox {sandbox_id} has expired: it was not used for {ttl_s:g} seconds. "
        "Its files are gone; create a new one."
    )


def flooded(sandbox_id: str) -> str:
    """Return what became of a sandbox that held many times more than it may."""
    return (
        f"[ERROR]: Sandbox {sandbox_id} has expired: it held many times more than a sandbox may. "
        "Its files are gone; create a new one."
    )


def too_many_sandboxes(count: int) -> str:
    """Return the refusal of one more."""
    return f"[ERROR]: You have {count} sandboxes, the most there may be. Close one first."


def not_run(why: object) -> str:
    """Return that nothing ran."""
    return f"[ERROR]: The code was not run: {why}."


def no_such_command(command_id: str) -> str:
    """Return the refusal of a command that was never started there."""
    return f"[ERROR]: There is no command {command_id!r} in this sandbox."
