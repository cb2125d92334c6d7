"""Watches what a sandbox uses where the kernel sets no limit: memory, disk, and the processors."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence

from mcp_servers.sandbox.confined import proc
from mcp_servers.sandbox.confined.site import Limits

_QUICK_S = 0.1
_SLOW_S = 0.5
_IDLE_S = 5.0
_GLANCE_S = 0.5
"""While nothing runs, how often it is asked whether that is still so."""
_BRIEF_S = 0.05
"""What ends sooner is not looked at: most does, and takes little."""
_LOOKS_UNTIL_IDLE = 10
_LOOKING = 5
"""A look takes at most one in so many seconds."""
_CROWD = max(4, os.cpu_count() or 1)
"""Processes that want to run at the same time, beyond which a sandbox is put behind others."""
_FORKS_A_SECOND = 1000
"""New processes, beyond which it is put behind others, too."""
_LOOKS_UNTIL_LAST = 10
"""Looks at a crowd after which it runs only while nobody else wants to."""
_DISK_S = 0.3
_SHARE = 10
"""A look at the disk takes at most one in so many seconds."""
_SLACK = 1 << 20
_FLOOD = 5
"""Whoever holds so many times more than it may shall not begin again: each time it would grow."""
_LOWEST_NICE = 19
_HIDDEN = 1 << 62
"""What cannot be counted counts as so much."""

Verdict = tuple[str, int]
"""What was used too much of, and the process to end; 0 for all of them."""


class Watch:
    """Looks at everything below this process.

    Args:
        limits: What there is to use.
        folders: Where its files are.
        shown: Folders within, which are not its own.
        quick: Whether looks are cheap, as they are where only the sandbox can be seen.
    """

    def __init__(
        self, limits: Limits, folders: Sequence[str], shown: Collection[str], *, quick: bool
    ) -> None:
        self._limits = limits
        self._folders = folders
        self._quick = quick
        self._every_s = _QUICK_S if quick else _SLOW_S
        self._shown = shown
        self._calm = 0
        self._next = 0.0
        self._next_glance = 0.0
        self._next_disk = 0.0
        self._found: dict[int, proc.Process] = {}
        self._spent = 0
        self._last_pid = 0
        self._crowded = 0
        self._last = time.monotonic()
        self._free_disk = (limits.disk, limits.files)
        self._full = False

    def begin(self) -> None:
        """Look often from now on, for a job is about to start."""
        self.attend()
        self._next = self._next_glance = time.monotonic() + _BRIEF_S
        if self._full:
            # It may still delete, so what there is already is not held against the next job.
            used, count = self._disk({})
            if used < _HIDDEN:
                self._free_disk = (
                    max(self._limits.disk, used + _SLACK),
                    max(self._limits.files, count + 1),
                )
            self._full = False

    def attend(self) -> None:
        """Look often from now on, for a job is busy."""
        self._calm = 0
        self._next = 0.0
        self._next_disk = 0.0

    def wait_s(self, *, running: bool) -> float | None:
        """Return how long to wait until the next look, in seconds; None for ever."""
        if not running:
            return None
        return max(0.0, min(self._next, self._next_glance) - time.monotonic())

    def look(self) -> Verdict | None:
        """Look, if it is time to, and say what has to end, if anything has to."""
        now = time.monotonic()
        if now < self._next and not self._stirs(now):
            return None
        found = self._found = proc.below(os.getpid())
        self._rest(found)
        idle = self._calm > _LOOKS_UNTIL_IDLE
        self._next = now + (_IDLE_S if idle else self._every_s)
        self._next_glance = now + _GLANCE_S
        self._put_behind(found, now - self._last)
        self._last = now
        over = self._memory(found)
        if over:
            # It may take another one, and soon.
            self._next = now + self._every_s
            return "memory", over
        self._next = max(self._next, now + _LOOKING * (time.monotonic() - now))
        if now >= self._next_disk:
            used = self._disk(found)
            self._next_disk = now + max(_DISK_S, _SHARE * (time.monotonic() - now))
            if any(have > most for have, most in zip(used, self._free_disk, strict=True)):
                self._full = True
                limits = self._limits.disk, self._limits.files
                flood = any(
                    _FLOOD * most < have < _HIDDEN for have, most in zip(used, limits, strict=True)
                )
                return "flood" if flood else "disk", 0
        return None

    def _stirs(self, now: float) -> bool:
        """Whether something runs again where nothing did; cheaper to tell than what it is."""
        if now < self._next_glance:
            return False
        self._next_glance = now + _GLANCE_S
        seen = {pid: proc.read(pid) for pid in self._found}
        # Where others can be seen, they take ids as well, and those tell nothing.
        forked = self._quick and proc.last_pid() != self._last_pid
        return forked or seen != self._found

    def _rest(self, found: dict[int, proc.Process]) -> None:
        """Count the looks in a row in which nothing ran."""
        spent = sum(process.spent for process in found.values())
        still = spent == self._spent and all(p.state in "SZ" for p in found.values())
        self._calm = self._calm + 1 if still else 0
        self._spent = spent

    def _put_behind(self, found: dict[int, proc.Process], seconds: float) -> None:
        """Have a crowd give way to others; no process can undo this from inside."""
        last = proc.last_pid()
        forks, self._last_pid = last - self._last_pid, last
        running = sum(process.state in "RD" for process in found.values())
        if running <= _CROWD and forks <= _FORKS_A_SECOND * max(seconds, _QUICK_S):
            self._crowded = 0
            return
        self._crowded += 1
        for pid in found:
            _lower(pid, last=self._crowded > _LOOKS_UNTIL_LAST)

    def _memory(self, found: dict[int, proc.Process]) -> int:
        """Return the largest process if all of them have too much; else 0."""
        most = self._limits.memory
        hidden = _hidden(found)
        # What was forked shares pages, which counts too often here: so this bounds it from above.
        rough = sum(proc.memory(pid, exact=False) for pid in found)
        if rough + sum(hidden.values()) <= most:
            return 0
        exact = {pid: _held(pid) + hidden[pid] for pid in found}
        if sum(exact.values()) <= most:
            return 0
        return max(exact, key=lambda pid: exact[pid])

    def _disk(self, found: dict[int, proc.Process]) -> tuple[int, int]:
        """Return bytes and number of files."""
        used, count = usage(self._folders, self._shown)
        seen = set()
        device = os.stat(self._folders[0]).st_dev
        for pid in found:
            for file in proc.files_without_names(pid):
                if file.st_dev == device and file.st_ino not in seen:
                    seen.add(file.st_ino)
                    used += file.st_blocks * 512
        return used, count


def _held(pid: int) -> int:
    """Return the memory that a process has, what it shares counted in parts if that can be told."""
    return proc.memory(pid, exact=True) or proc.memory(pid, exact=False)


def _hidden(found: dict[int, proc.Process]) -> dict[int, int]:
    """Return the memory that each process holds in files without names; each counts once."""
    disk = {os.stat(folder).st_dev for folder in ("/", os.getcwd())}
    seen: set[tuple[int, int]] = set()
    held = {}
    for pid in found:
        held[pid] = 0
        for file in proc.files_without_names(pid):
            name = (file.st_dev, file.st_ino)
            if file.st_dev not in disk and name not in seen:
                seen.add(name)
                held[pid] += file.st_blocks * 512
    return held


def usage(folders: Sequence[str], but: Collection[str] = ()) -> tuple[int, int]:
    """Return bytes and number of what lies in some folders, however changing.

    What cannot be looked into, such as folders beyond the longest path, counts as more than any
    limit: nothing is hidden there.

    Args:
        folders: The folders.
        but: Folders within that do not count.
    """
    used = count = 0
    waiting = list(folders)
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    count += 1
                    used += found.st_blocks * 512 // max(1, found.st_nlink)
                    if entry.is_dir(follow_symlinks=False) and entry.path not in but:
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it went, or changed, meanwhile
        except OSError:
            return _HIDDEN, _HIDDEN
    return used, count


def _lower(pid: int, *, last: bool) -> None:
    """Give a process, and its session, the lowest priority, or the last place of all."""
    try:
        for thread in map(int, os.listdir(f"/proc/{pid}/task")):
            if last:
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
            else:
                os.setpriority(os.PRIO_PROCESS, thread, _LOWEST_NICE)
        with open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as file:
            file.write(str(_LOWEST_NICE))
    except OSError:
        return  # it is gone, or the kernel takes no more such orders now: the next look tries again
