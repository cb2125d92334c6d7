"""Where a tool server serves files for its node: a socket for each process, and the folders."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

SOCKET = "AGENTDOCK_FILES_SOCKET"
AREA = "AGENTDOCK_FILES_DIR"
STATE = "AGENTDOCK_STATE_DIR"
NAME = ".agentdock-area"
"""A file in the file area that holds the area's own name; no Owner's folder begins with a dot."""

PREFIX = "agentdock-files-"
LONGEST_BASE = 60
"""Letters that a path may have before it, so that a socket's has 107 at most."""
YOUNG_S = 5.0


class FilesSocket:
    """The socket of one process, and how many requests use it now.

    Args:
        path: Where the process shall listen; nothing is there yet.
        environ: What the process must know of it and of its folders.
    """

    def __init__(self, path: Path, environ: dict[str, str]) -> None:
        self.environ = environ
        self._path = path
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @contextmanager
    def held(self) -> Iterator[str]:
        """Give the path; until the context closes, `idle` waits."""
        self._users += 1
        self._unused.clear()
        try:
            yield str(self._path)
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nobody uses it, at most `timeout_s` seconds; return whether it is so."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._unused.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Remove what the process left of it. Safe to call twice."""
        self._path.unlink(missing_ok=True)


class FilesPlaces:
    """The folders that tool servers which serve files are given, made when first needed.

    `area` names the file area, once it was needed: the same for all nodes that share it.

    Args:
        data_dir: The node's folder for everything that is kept.
        node_id: Names the part of it that is this node's alone.
    """

    def __init__(self, data_dir: Path, node_id: str) -> None:
        self._data = data_dir.absolute()
        self._node_id = node_id
        self._sockets: _SocketsFolder | None = None
        self._numbers = count(1)
        self.area = ""

    def socket(self, server: str) -> FilesSocket:
        """Make the folders of a tool server and return a socket for one process of it.

        Raises:
            OSError: they cannot be made.
        """
        area, state = self._data / "files", self._data / "nodes" / self._node_id / server
        for folder in (area, *reversed(state.parents[:2]), state):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.area = _named(area)
        if self._sockets is None:
            self._sockets = _SocketsFolder()
        path = self._sockets.path / str(next(self._numbers))
        return FilesSocket(path, {SOCKET: str(path), AREA: str(area), STATE: str(state)})

    def close(self) -> None:
        """Remove the sockets; the other folders stay. Safe to call twice."""
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None


def _named(area: Path) -> str:
    """Return the name of a file area, which the first who asks gives it.

    Raises:
        OSError: it cannot be written or read.
    """
    path = area / NAME
    if not path.exists():
        draft = area / f"{NAME}-{secrets.token_hex(8)}"
        draft.write_text(secrets.token_hex(8))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another node was faster
        finally:
            draft.unlink()
    return path.read_text()


class _SocketsFolder:
    """A short-lived folder of this process alone. What killed nodes left of theirs is removed.

    It is among the temporary files, because a socket's path must be short, and the data folder's
    may not be. Its lock says that its node is alive.
    """

    def __init__(self) -> None:
        base = tempfile.gettempdir()
        base = base if len(base) <= LONGEST_BASE else "/tmp"
        _sweep(Path(base))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Remove it; once."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(base: Path) -> None:
    """Remove our own folders that no living node has locked."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(fd)
            # One that was made a moment ago may not be locked yet.
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > YOUNG_S:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(fd)
