"""Finds processes that a test left behind, also orphans and those with an empty environment.

The test run marks itself by an odd limit on message queues, which nothing here uses: whatever it
starts inherits the limit, and neither setsid, nor exec, nor the death of a parent takes it away.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from pathlib import Path


def mark_this_run() -> None:
    """Mark this process and all that will descend from it."""
    hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1]
    mark = os.getpid() if hard == resource.RLIM_INFINITY else os.getpid() % hard
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (mark, hard))


def descendants() -> set[int]:
    """Return the living processes that descend from this run, without this process.

    Raises:
        RuntimeError: this run has no mark, and all of the machine would seem to descend from it.
    """
    mark = b" %d " % resource.getrlimit(resource.RLIMIT_MSGQUEUE)[0]
    usual = Path("/proc/1/limits").read_bytes().partition(b"Max msgqueue")[2]
    if mark in usual.partition(b"\n")[0]:
        raise RuntimeError("mark_this_run() was not called")
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            limits = (entry / "limits").read_bytes()
        except OSError:
            continue
        if any(line.startswith(b"Max msgqueue") and mark in line for line in limits.split(b"\n")):
            found.add(int(entry.name))
    return found


def left_since(before: set[int], patience_s: float = 3.0) -> dict[int, str]:
    """Return what was started since `before` and is still there, with command lines.

    A process that `before` holds may start others: they are its business. Ends are waited for.
    """
    until = time.monotonic() + patience_s
    left = {pid for pid in descendants() - before if not _ancestors(pid) & before}
    return {pid: command(pid) for pid in left if not ended(pid, until - time.monotonic())}


def ended(pid: int, within_s: float) -> bool:
    """Wait at most `within_s` seconds for the end of a process; return whether it came."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], max(0.0, within_s))[0])
    finally:
        os.close(pidfd)


def alive(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    return not ended(pid, 0)


def kill(pid: int) -> None:
    """Kill a process; one that is gone is no error."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def command(pid: int) -> str:
    """Return a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return "(gone)"


def parent(pid: int) -> int:
    """Return a process's parent, 0 if the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid := parent(pid):
        found.add(pid)
    return found
