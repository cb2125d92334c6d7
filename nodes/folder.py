"""A node's own folder in the data folder, and the end of those that nodes left for good.

Nodes of one machine share the data folder. A container that is made anew is another node: nobody
comes back for what the old one kept.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nodes.removal import remove
from wire.serving import beside

log = logging.getLogger(__name__)

BEAT_S = 60.0
LEFT_S = 90_000.0
"""More than any sandbox lives without a call; a node that was stopped comes back to its own."""


class NodeFolder:
    """`<data dir>/nodes/<node id>`, locked while its node lives.

    Args:
        data_dir: What the nodes of this machine share.
        node_id: Whose folder it is.
        left_s: Seconds without a sign of life after which a folder is removed.
    """

    def __init__(self, data_dir: Path, node_id: str, left_s: float = LEFT_S) -> None:
        self._path = data_dir / "nodes" / node_id
        self._left_s = left_s

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Hold the folder while the context is open, show signs of life, remove what is left.

        If it cannot be made, those who need it will say so; the node serves all the same.
        """
        try:
            descriptor = self._hold()
        except OSError as error:
            log.error("the folder %s cannot be made: %s", self._path, error)
            yield
            return
        try:
            async with beside(self._beat(), "the sweep of folders that nodes left"):
                yield
        finally:
            os.close(descriptor)

    def _hold(self) -> int:
        """Return the descriptor of the locked folder, which is there and nobody removes."""
        while True:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # Whoever removes it holds it: then it is waited for, and made anew.
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            try:
                if os.path.samestat(os.fstat(descriptor), self._path.stat()):
                    os.utime(self._path)
                    return descriptor
            except FileNotFoundError:
                pass
            os.close(descriptor)

    async def _beat(self) -> None:
        while True:
            # Not at once: others that start beside this one shall have theirs first.
            await asyncio.sleep(BEAT_S)
            os.utime(self._path)
            await asyncio.to_thread(self.sweep)

    def sweep(self) -> None:
        """Remove the folders of nodes that have been gone for long."""
        for folder in self._path.parent.iterdir():
            try:
                self._remove_if_left(folder)
            except OSError as error:
                log.warning("what the node %s left cannot be removed: %s", folder.name, error)

    def _remove_if_left(self, folder: Path) -> None:
        if folder.is_symlink() or not folder.is_dir():
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(descriptor).st_mtime >= self._left_s:
                remove(folder)
                log.info("removed what the node %s left: it is gone", folder.name)
        except BlockingIOError:
            return  # its node lives
        finally:
            os.close(descriptor)
