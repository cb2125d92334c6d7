"""Deletes what foreign code left: however deep, however many, and whatever its permissions."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def remove(path: Path) -> None:
    """Delete a folder with everything in it. One that is not there is no error.

    Nothing may run in it any more. Symlinks are deleted, never followed. A folder within is moved
    to the top before it is emptied, so that no depth is too deep.

    Raises:
        OSError: something in it cannot be deleted.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        top = _opened(path, flags)
    except FileNotFoundError:
        return
    try:
        waiting = _empty(top, top)
        while waiting:
            name = waiting.pop()
            folder = os.open(name, flags, dir_fd=top)
            try:
                waiting += _empty(folder, top)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path)


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags)
    except PermissionError:
        os.chmod(path, 0o700)  # whose it is may close even the top to us
        return os.open(path, flags)


def _empty(folder: int, top: int) -> list[str]:
    """Delete what a folder holds, but move to `top` folders that hold more; return their names."""
    moved = []
    for name in os.listdir(folder):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=folder)
            continue
        with suppress(OSError):  # most are empty
            os.rmdir(name, dir_fd=folder)
            continue
        if found.st_mode & 0o700 != 0o700:
            os.chmod(name, 0o700, dir_fd=folder)
        there = f"removing-{secrets.token_hex(8)}"
        try:
            os.rename(name, there, src_dir_fd=folder, dst_dir_fd=top)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            continue  # it was a mount's place; it is tried again
        moved.append(there)
    return moved
