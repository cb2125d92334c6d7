"""The folders that code runs in: made for one run, deleted with it, or found stale and deleted."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

PREFIX = "agentdock-"
NEW_S = 60.0
"""Age, in seconds, below which a folder may be about to be locked."""


def make(stack: ExitStack) -> str:
    """Return a new empty folder; `stack` deletes what is left of it. It is locked while we live.

    Raises:
        OSError: it cannot be made.
    """
    folder = tempfile.mkdtemp(prefix=PREFIX)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    fcntl.flock(_open(folder, stack), fcntl.LOCK_SH)
    return folder


def delete_stale() -> None:
    """Delete the folders of servers that were killed before they could: nobody locks those."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            with ExitStack() as stack:
                fcntl.flock(_open(folder, stack), fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - folder.stat().st_mtime > NEW_S:
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


def _open(folder: str | Path, stack: ExitStack) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    stack.callback(os.close, descriptor)
    return descriptor
