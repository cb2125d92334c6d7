"""Opens what lies beneath a folder, and nothing else, whatever is swapped meanwhile.

Linux does it in one step (openat2, since 5.6). Where that is missing or forbidden, the names are
walked one by one, each opened in the folder before it and never through a symlink.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Sequence

_SYS_OPENAT2 = 437  # on x86-64 and arm64 alike
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE = _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_TRIES = 10
_HERE = -100
"""AT_FDCWD: the folder that this process is in."""

Open = Callable[[int, Sequence[str], int, int], int]
"""Opens (folder, names, flags, mode) and returns a descriptor, never inherited, never blocking.

It raises OSError: ELOOP or ENOTDIR for a symlink on the way, and what `open` raises."""


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def best_open() -> Open:
    """Return the best way that this machine allows."""
    try:
        os.close(open_at_once(_HERE, (), _FOLDER, 0))
    except OSError:
        return open_step_by_step
    return open_at_once


def open_at_once(folder: int, names: Sequence[str], flags: int, mode: int = 0) -> int:
    """See Open: the kernel keeps the whole way beneath `folder`."""
    libc = ctypes.CDLL(None, use_errno=True)
    how = _How(flags | _ALWAYS, mode, _RESOLVE)
    path = os.fsencode("/".join(names) or ".")
    for _ in range(_TRIES):
        found = libc.syscall(
            _SYS_OPENAT2, folder, path, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
        )
        if found >= 0:
            return int(found)
        number = ctypes.get_errno()
        # A rename somewhere made the kernel unsure; it says so rather than to be deceived.
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))


def open_step_by_step(folder: int, names: Sequence[str], flags: int, mode: int = 0) -> int:
    """See Open: each name is opened in the folder before it."""
    at = os.open(".", _FOLDER | _ALWAYS, dir_fd=folder)
    try:
        for name in names[:-1]:
            below = os.open(name, _FOLDER | _ALWAYS, dir_fd=at)
            os.close(at)
            at = below
        return os.open(names[-1] if names else ".", flags | _ALWAYS, mode, dir_fd=at)
    finally:
        os.close(at)
