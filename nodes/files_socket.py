"""Where a tool server serves files for its node: a socket for each process, and the folders."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

SOCKET = "AGENTDOCK_FILES_SOCKET"
AREA = "AGENTDOCK_FILES_DIR"
STATE = "AGENTDOCK_STATE_DIR"


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

    Args:
        data_dir: The node's folder for everything that is kept.
        node_id: Names the part of it that is this node's alone.
    """

    def __init__(self, data_dir: Path, node_id: str) -> None:
        self._data = data_dir.absolute()
        self._node_id = node_id
        # The path of a socket must be short, and the data folder's may not be.
        self._sockets: Path | None = None
        self._numbers = count(1)

    def socket(self, server: str) -> FilesSocket:
        """Make the folders of a tool server and return a socket for one process of it.

        Raises:
            OSError: they cannot be made.
        """
        area, state = self._data / "files", self._data / "nodes" / self._node_id / server
        for folder in (area, *reversed(state.parents[:2]), state):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._sockets is None:
            self._sockets = Path(tempfile.mkdtemp(prefix="agentdock-"))
        path = self._sockets / str(next(self._numbers))
        return FilesSocket(path, {SOCKET: str(path), AREA: str(area), STATE: str(state)})

    def close(self) -> None:
        """Remove the sockets; the other folders stay. Safe to call twice."""
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None
