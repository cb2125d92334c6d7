"""The folders that code runs in: made for one run, deleted with it, or found stale and deleted.

Each lies in a folder of its own, beside a seal. The folder for temporary files is not ours alone: a
name says nothing, so only what bears the seal, made for that very folder, is ever deleted.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

PREFIX = "agentdock-sandbox-"
SEAL = "made-by-agentdock-sandbox"
"""The file beside a workspace; keeper.py, which starts without this module, names it as well."""


def make(stack: ExitStack) -> str:
    """Return a new empty folder; `stack` deletes what is left of it. It is locked while we live.

    Raises:
        OSError: it cannot be made.
    """
    home = Path(tempfile.mkdtemp(prefix=PREFIX))
    stack.callback(shutil.rmtree, home, ignore_errors=True)
    seal = os.open(home / SEAL, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    stack.callback(os.close, seal)
    # Locked first, then written: a seal that can be read and locked is that of a dead server.
    fcntl.flock(seal, fcntl.LOCK_SH)
    os.write(seal, _seal_of(home.stat()))
    workspace = home / "work"
    workspace.mkdir(mode=0o700)
    return str(workspace)


def delete_stale() -> None:
    """Delete the folders of servers that were killed before they could: nobody locks those."""
    for home in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            with ExitStack() as stack:
                if _is_stale(home, stack):
                    shutil.rmtree(home, ignore_errors=True)
        except OSError:
            continue


def _is_stale(home: Path, stack: ExitStack) -> bool:
    """Whether one of us made `home` and is gone; what raises is not ours, or not to be had."""
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    stack.callback(os.close, folder)
    seal = os.open(SEAL, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    stack.callback(os.close, seal)
    fcntl.flock(seal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    found = os.fstat(folder)
    return found.st_uid == os.geteuid() and os.read(seal, 256) == _seal_of(found)


def _seal_of(folder: os.stat_result) -> bytes:
    """Return what a seal says: a copy of the folder has another number, so it is not ours."""
    return b"A workspace of AgentDock's sandbox, folder %d. It is deleted when stale.\n" % (
        folder.st_ino
    )
