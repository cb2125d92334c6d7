"""Says in words why a tool server does not start, and what its owner can do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_FRAME = " \t\r\n|+-"
SHOWN_CHARS = 200
_INSTALL = {
    "uvx": "Install uv (https://docs.astral.sh/uv/), which brings uvx",
    "uv": "Install uv (https://docs.astral.sh/uv/)",
    "npx": "Install Node.js (https://nodejs.org/), which brings npx",
    "node": "Install Node.js (https://nodejs.org/)",
    "bunx": "Install Bun (https://bun.sh/), which brings bunx",
    "docker": "Install Docker",
}
_MCP_1 = re.compile(
    r"No module named 'mcp\.server\.fastmcp|cannot import name '\w+' from 'mcp[.']"
    r"|'Server' object has no attribute '(list_tools|call_tool)'|pin 'mcp<2'"
)
_MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")


def command_not_found(command: str) -> str:
    """Explain a command that is nowhere on the PATH."""
    cure = _INSTALL.get(command, f"Install {command}, or give the full path as `command`")
    return f"The command {command!r} was not found. {cure}."


def ended_at_start(
    reason: str, entry_argv: Sequence[str], stderr: Sequence[str], rubbish: Sequence[bytes]
) -> str:
    """Explain a process that ended before it was ready.

    Args:
        reason: How it ended, such as `exited with code 1`.
        entry_argv: Command and arguments as the profile gives them.
        stderr: Its last lines on stderr.
        rubbish: Its first lines on stdout that were not JSON.
    """
    text = f"The server {reason} before it was ready."
    cure = cure_of(stderr, entry_argv)
    parts = (text, last_words(stderr), cure, _about_rubbish(rubbish))
    return " ".join(part for part in parts if part)


def silent_at_start(timeout_s: float, stderr: Sequence[str], rubbish: Sequence[bytes]) -> str:
    """Explain a process that runs and never completed the MCP handshake."""
    text = (
        f"The server did not complete the MCP handshake within {timeout_s:g} s. Check that the "
        "command starts an MCP server on stdio; one that downloads or loads much at first "
        "needs a larger AGENTDOCK_NODE_START_TIMEOUT_S."
    )
    return " ".join(part for part in (text, last_words(stderr), _about_rubbish(rubbish)) if part)


def cure_of(stderr: Sequence[str], entry_argv: Sequence[str]) -> str:
    """Return what would cure a failure whose traceback is in `stderr`; empty if unknown."""
    text = "\n".join(stderr)
    if _MCP_1.search(text):
        return (
            "It was written for mcp 1.x: run it with its own environment: "
            f"{_with_uvx('mcp<2', entry_argv)}."
        )
    missing = _MISSING_MODULE.search(text)
    if missing:
        package = missing[1].partition(".")[0]
        return (
            f"The Python package of {package!r} is missing: run it with its own environment: "
            f"{_with_uvx(package, entry_argv)}."
        )
    return ""


def last_words(stderr: Sequence[str]) -> str:
    """Return the last line of stderr as a sentence; empty if there is none.

    Python draws a frame around a group of exceptions: what happened stands before its last line.
    """
    if not stderr:
        return ""
    telling = next((line for line in reversed(stderr) if line.strip(_FRAME)), stderr[-1])
    line = telling.strip().removeprefix("| ")
    shown = line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}..."
    return f"It last said: {shown!r}."


def _with_uvx(requirement: str, entry_argv: Sequence[str]) -> str:
    rest = list(entry_argv)
    if rest[:1] == ["uvx"]:
        rest = rest[1:]
    elif "mcp" not in requirement:
        rest = ["--with", "mcp", *rest]
    arguments = ", ".join(f'"{argument}"' for argument in ["--with", requirement, *rest])
    return f'command = "uvx", args = [{arguments}]'


def _about_rubbish(rubbish: Sequence[bytes]) -> str:
    if not rubbish:
        return ""
    shown = rubbish[0].decode(errors="replace").strip()[:120]
    return f"It printed {shown!r} to stdout, which belongs to MCP: print to stderr instead."
