"""Ends what a node leaves behind, also when it was killed with SIGKILL. Standard library only.

Run as `python -I -S guardian.py MARKER` with a pipe from the node as stdin: when the pipe closes,
every process that carries the marker in its environment is killed. The sweep itself serves the
supervisor too.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

INSTANCE = "AGENTDOCK_INSTANCE"
"""Variable by which each child of a node, and what it starts in turn, is known."""

PAUSE_S = 0.02
LIMIT_S = 5.0


@dataclass(frozen=True)
class _Process:
    """A live process: its parent, its session, and whether its environment carries the marker."""

    parent: int
    session: int
    marked: bool


def sweep(marker: str, session: int | None = None, limit_s: float = LIMIT_S) -> int:
    """Kill every process that belongs to `marker`, until none is left; return how many it met.

    A process belongs if its environment carries `AGENTDOCK_INSTANCE=<marker>...`, if it descends
    from one that does, or if it is in the session of one (or in `session`).

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
            marked = needle in b"\0" + _environment(name)
            found[int(name)] = _Process(int(parent), int(session), marked)
    return found


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
