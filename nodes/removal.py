"""Deletes what foreign code may have left: however deep it is, and whatever its permissions."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(path: Path) -> None:
    """Delete a folder with everything in it, which nobody works in any more.

    Symlinks are deleted, never followed. A folder within is opened to its owner and moved to the
    top before it is emptied, so that neither its permissions nor its depth matter.

    Raises:
        OSError: something in it cannot be deleted.
    """
    os.chmod(path, 0o700)
    top = os.open(path, FLAGS)
    try:
        waiting = _empty(top, top)
        while waiting:
            name = waiting.pop()
            folder = os.open(name, FLAGS, dir_fd=top)
            try:
                waiting += _empty(folder, top)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path)


def _empty(folder: int, top: int) -> list[str]:
    """Delete the files of a folder and move its folders to `top`; return their names there."""
    moved = []
    for name in os.listdir(folder):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(mode):
            os.unlink(name, dir_fd=folder)
            continue
        if mode & 0o700 != 0o700:
            os.chmod(name, 0o700, dir_fd=folder)
        moved.append(f"removing-{secrets.token_hex(8)}")
        os.rename(name, moved[-1], src_dir_fd=folder, dst_dir_fd=top)
    return moved
