"""What Linux does for us so that no process outlives a call; used by server, keeper and cell."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36
_SET_NO_NEW_PRIVS = 38


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, its parent now, dies.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def stay_unprivileged() -> None:
    """Give up set-uid programs for good: what they start could not be killed from here.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(_SET_NO_NEW_PRIVS, 1)


def children(parent: int) -> list[int]:
    """Return the ids of the processes whose parent is `parent`, ended ones included."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_bytes()
        except OSError:
            continue
        # The name, in parentheses, may itself hold spaces and parentheses.
        if int(stat[stat.rindex(b")") + 2 :].split()[1]) == parent:
            found.append(int(entry.name))
    return found


def kill(pid: int, signum: int = signal.SIGKILL) -> None:
    """Send a signal to one process; one that is gone is no error."""
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        pass


def kill_group(pgid: int, signum: int = signal.SIGKILL) -> None:
    """Send a signal to every process of a group; a group that is gone is no error."""
    try:
        os.killpg(pgid, signum)
    except (ProcessLookupError, PermissionError):
        pass


def reap(pid: int) -> None:
    """Collect one ended child, so that it is no zombie; do nothing while it runs."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
