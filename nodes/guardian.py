"""Ends what a node leaves behind, also when it was killed with SIGKILL. Standard library only.

Run as `python -I -S guardian.py MARKER` with a pipe from the node as stdin: when the pipe closes,
every process that carries the marker in its environment is killed. The sweep itself serves the
supervisor too.
"""

import contextlib
import hashlib
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

INSTANCE = "AGENTDOCK_INSTANCE"
"""Variable by which each child of a node, and what it starts in turn, is known."""

RLIMIT_LOCKS = 10
SERVER_BITS = 24
PAUSE_S = 0.02
LIMIT_S = 5.0


@dataclass(frozen=True)
class _Process:
    """A live process: its parent, its session, and whether its environment carries the marker."""

    parent: int
    session: int
    marked: bool


def brand(marker: str) -> None:
    """Mark this process for good: to be run in a child, between fork and exec.

    Linux has ignored the limit on file locks since 2.4, and every descendant inherits it, whatever
    it does to its environment, its session and its parent.
    """
    hard = resource.getrlimit(RLIMIT_LOCKS)[1]
    resource.setrlimit(RLIMIT_LOCKS, (_number(marker), hard))


def _number(marker: str) -> int:
    """Return the number for a marker: 36 bits for the run, 24 for the tool server of the run."""
    run, _, server = marker.partition(".")
    return _bits(run, 36) << SERVER_BITS | _bits(server, SERVER_BITS)


def _bits(text: str, count: int) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) >> (256 - count)


def sweep(marker: str, session: int | None = None, limit_s: float = LIMIT_S) -> int:
    """Kill every process that belongs to `marker`, until none is left; return how many it met.

    A process belongs if its environment carries `AGENTDOCK_INSTANCE=<marker>...` or its limits the
    marker's brand, if it descends from one that does, or if it is in the session of one (or in
    `session`).

    Args:
        marker: A run's token, or that of one tool server of the run.
        session: A further session that belongs, though its leader is gone.
        limit_s: Seconds after which to stop trying; a fork bomb could outrun any sweep.
    """
    met: set[int] = set()
    deadline = time.monotonic() + limit_s
    while victims := _belonging(_processes(marker), session):
        met |= victims
        for pid in victims:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(PAUSE_S)
    return len(met)


def _belonging(processes: Mapping[int, _Process], session: int | None) -> set[int]:
    found = {pid for pid, process in processes.items() if process.marked}
    sessions = {pid for pid in found if processes[pid].session == pid}
    if session is not None:
        sessions.add(session)
    while True:
        more = {
            pid
            for pid, process in processes.items()
            if pid not in found and (process.parent in found or process.session in sessions)
        }
        if not more:
            return found - {os.getpid()}
        found |= more


def _processes(marker: str) -> dict[int, _Process]:
    """Return the processes of this machine that are not zombies; those of others are unmarked."""
    needle = b"\0%b=%b" % (INSTANCE.encode(), marker.encode())
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
        except OSError:
            continue
        if state not in (b"Z", b"X"):
            marked = needle in b"\0" + _environment(name) or _is_branded(name, marker)
            found[int(name)] = _Process(int(parent), int(session), marked)
    return found


def _is_branded(pid: str, marker: str) -> bool:
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return False
    limit = next((line.split()[3] for line in lines if line.startswith(b"Max file locks")), b"")
    if not limit.isdigit():
        return False
    if "." in marker:
        return int(limit) == _number(marker)
    return int(limit) >> SERVER_BITS == _number(marker) >> SERVER_BITS


def _environment(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def main() -> None:
    """Wait until the node's end of the pipe closes, then sweep."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    sweep(sys.argv[1], limit_s=60.0)


if __name__ == "__main__":
    main()
