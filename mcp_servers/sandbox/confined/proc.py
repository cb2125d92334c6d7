"""What /proc tells of the processes below this one, and signals to them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

_SIGKILL = signal.SIGKILL
_TICKS = os.sysconf("SC_CLK_TCK")
FIRST = 1
"""The process that all others of its process ids are below."""


class Process(NamedTuple):
    """A line of /proc/PID/stat. Times in ticks since the machine started, memory in pages."""

    pid: int
    state: str
    parent: int
    spent: int
    started: int


def read(pid: int | str) -> Process | None:
    """Return what there is to know of a process; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    # The name, in parentheses, may itself hold spaces and parentheses.
    fields = line[line.rindex(b")") + 2 :].split()
    spent = sum(int(fields[n]) for n in (11, 12, 13, 14))
    return Process(int(pid), fields[0].decode(), int(fields[1]), spent, int(fields[19]))


def all_processes() -> dict[int, Process]:
    """Return every process that can be seen from here."""
    found = (read(name) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def below(root: int, known: dict[int, Process] | None = None) -> dict[int, Process]:
    """Return the descendants of a process, those that ended and were not collected included."""
    known = all_processes() if known is None else known
    children: dict[int, list[int]] = {}
    for process in known.values():
        if process.pid != FIRST:
            # A parent with process ids elsewhere cannot be seen: the nursery, which is a worker's.
            children.setdefault(process.parent or FIRST, []).append(process.pid)
    found: dict[int, Process] = {}
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            if pid not in found:
                found[pid] = known[pid]
                waiting.append(pid)
    return found


def descendants(root: int) -> set[int]:
    """Return the living descendants of a process."""
    return {pid for pid, process in below(root).items() if process.state != "Z"}


def orphans(since: int, after: int, but: set[int]) -> set[int]:
    """Return the children of this process, and theirs, that began after another process.

    Args:
        since: When that began, in ticks as `started` gives them.
        after: Its id: of those that began in the same tick, the later ones have higher ids.
        but: Children that are no orphans, with everything below them.
    """
    known = all_processes()
    found: set[int] = set()
    for process in known.values():
        if process.parent != os.getpid() or process.pid in but:
            continue
        if (process.started, process.pid) < (since, after):
            continue
        found |= {process.pid, *below(process.pid, known)}
    return {pid for pid in found if known[pid].state != "Z"}


def children() -> set[int]:
    """Return the children of this process, ended ones included."""
    return {p.pid for p in all_processes().values() if p.parent == os.getpid()}


def started(pid: int) -> int:
    """Return when a process began, in ticks; 0 if it is gone."""
    process = read(pid)
    return process.started if process else 0


def ticks() -> int:
    """Return for how long the machine has run, in ticks, as processes' beginnings are told."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def last_pid() -> int:
    """Return the process id that was given last: it grows with every fork and thread."""
    with open("/proc/loadavg", "rb") as file:
        return int(file.read().split()[4])


def memory(pid: int, *, exact: bool) -> int:
    """Return bytes of memory that a process has to itself; 0 if it is gone, or may not be read.

    Args:
        pid: The process.
        exact: What is shared is counted in parts; else it counts for each who has it, which is
            faster to tell.
    """
    try:
        with open(f"/proc/{pid}/{'smaps_rollup' if exact else 'status'}", "rb") as file:
            text = file.read()
    except OSError:
        return 0
    wanted = (b"Pss_Anon:", b"Pss_Shmem:") if exact else (b"RssAnon:", b"RssShmem:")
    lines = (line.split() for line in text.splitlines() if line.startswith(wanted))
    return sum(int(line[1]) for line in lines) * 1024


def files_without_names(pid: int) -> Iterator[os.stat_result]:
    """Yield the plain files that a process holds open and that have no name, or none any more."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        try:
            found = os.stat(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if found.st_nlink == 0 and (found.st_mode & 0o170000) == 0o100000:
            yield found


def kill(pid: int, number: int = _SIGKILL) -> None:
    """Send a signal to one process; one that is gone is no error."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill_group(pgid: int, number: int = _SIGKILL) -> None:
    """Send a signal to every process of a group; a group that is gone is no error."""
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        pass
