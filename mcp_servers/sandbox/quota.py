"""How much one owner may keep in the file area, how much it keeps, and what nobody keeps."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mcp_servers.sandbox.area import FileFault
from mcp_servers.sandbox.paths import DRAFT

FRESH_S = 10.0
"""How long a measurement holds. Servers of several nodes write to one area, and each counts only
what it wrote itself since it measured."""
AGAIN_S = 1.0
"""How soon it is measured again, before an owner is refused."""
YOUNG_S = 5.0
"""Age of a draft that may not be locked yet, since it was made a moment ago."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What one owner, or one sandbox, may keep. Folders count as files; `cure` says what to do."""

    max_bytes: int = 2 * 1024**3
    max_files: int = 20_000
    cure: str = "Delete some: DELETE /v1/files/{path}."


class Account:
    """Keeps one owner within its quota: it is a `Room` of the owner's folder, for any thread.

    What arrives counts as it arrives, so that many uploads at a time do not exceed it together.

    Args:
        quota: What the owner may keep.
        measure: Returns how many bytes and files are there.
        clock: Returns seconds that only ever grow.
    """

    def __init__(
        self,
        quota: Quota,
        measure: Callable[[], tuple[int, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quota = quota
        self._measure = measure
        self._clock = clock
        self._lock = threading.Lock()
        self._bytes = self._files = 0
        self._measured: float | None = None

    def __call__(self, size: int, files: int) -> None:
        """Count growth, in bytes and files; negative when something goes.

        Raises:
            FileFault: there is no room for it; nothing was counted.
        """
        if size > 0 or files > 0:
            self._look(FRESH_S)
            if self._fault(size, files) is not None:
                self._look(AGAIN_S)
        with self._lock:
            fault = self._fault(size, files)
            if fault is not None:
                raise fault
            self._bytes += size
            self._files += files

    def _look(self, fresh_s: float) -> None:
        """Measure, unless somebody began to within `fresh_s` seconds. Nobody waits for another.

        What others write meanwhile may be missed, or counted twice, until the next time.
        """
        now = self._clock()
        with self._lock:
            if self._measured is not None and now - self._measured < fresh_s:
                return
            self._measured = now
        size, files = self._measure()
        with self._lock:
            self._bytes, self._files = size, files

    def _fault(self, size: int, files: int) -> FileFault | None:
        quota, cure = self._quota, self._quota.cure
        if size > 0 and self._bytes + size > quota.max_bytes:
            text = f"Your files would exceed {quota.max_bytes} bytes, the most you may keep. {cure}"
        elif files > 0 and self._files + files > quota.max_files:
            text = f"You may keep {quota.max_files} files and folders, and have them. {cure}"
        else:
            return None
        return FileFault("over_quota", 507, text)


def measure(folder: int) -> tuple[int, int]:
    """Return how many bytes and files are beneath an open folder, and sweep drafts meanwhile.

    A draft that no server writes to any more was left by one that was killed: it is deleted.
    """
    size = files = 0
    for _, folders, names, at in os.fwalk(".", dir_fd=folder, follow_symlinks=False):
        files += len(folders)
        for name in names:
            try:
                if name.startswith(DRAFT) and _is_abandoned(name, at):
                    os.unlink(name, dir_fd=at)
                    continue
                size += os.stat(name, dir_fd=at, follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
            files += 1
    return size, files


def _is_abandoned(name: str, folder: int) -> bool:
    """Whether nobody holds the lock that a draft's writer has until the draft is closed."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return time.time() - os.fstat(fd).st_mtime > YOUNG_S
    except OSError:
        return False
    finally:
        os.close(fd)
