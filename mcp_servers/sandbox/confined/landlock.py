"""Landlock: what files a process and its children may touch. The numbers are of every machine."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Iterable

from mcp_servers.sandbox.confined import linux

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_RULE = struct.Struct("=Qi")
_ATTRIBUTES = struct.Struct("QQQ")

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_ALL = (1 << 16) - 1
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_READ = _EXECUTE | _READ_FILE | _READ_FOLDER
_TCP = 3
_SCOPES = 3
"""Abstract unix sockets (1) and signals (2) reach no process outside."""

SCOPES_SINCE = 6
"""The version since which signals are kept in."""


@functools.cache
def version() -> int:
    """Return the version that the kernel speaks; 0 if it speaks none."""
    found = linux.libc().syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    return max(0, int(found))


def restrict(
    writable: Iterable[str], readable: Iterable[str], *, network: bool, scoped: bool
) -> None:
    """Let this process read `readable`, change `writable`, and touch no other file, for good.

    Args:
        writable: Folders and files; those that are missing are passed over.
        readable: The same.
        network: Whether TCP is left alone; otherwise it is refused where the kernel can.
        scoped: Whether signals and abstract sockets are kept in, where the kernel can.

    Raises:
        OSError: the kernel refused, or speaks no Landlock.
    """
    spoken = linux.check(version() or -1, "Landlock")
    files = _ALL
    if spoken < 5:
        files &= ~_IOCTL
    if spoken < 3:
        files &= ~_TRUNCATE
    if spoken < 2:
        files &= ~_REFER
    tcp = _TCP if spoken >= 4 and not network else 0
    scopes = _SCOPES if spoken >= SCOPES_SINCE and scoped else 0
    attributes = _ATTRIBUTES.pack(files, tcp, scopes)
    size = 24 if spoken >= SCOPES_SINCE else 16 if spoken >= 4 else 8
    library = linux.libc()
    rules = linux.check(library.syscall(_CREATE_RULESET, attributes, size, 0), "Landlock")
    try:
        for paths, access in ((writable, files), (readable, _READ & files)):
            for path in paths:
                _allow(rules, path, access)
        linux.check(library.syscall(_RESTRICT_SELF, rules, 0), "Landlock")
    finally:
        os.close(rules)


def _allow(rules: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        for asked in (access, access & _OF_FILES):  # of what is no folder, nothing else is allowed
            rule = _RULE.pack(asked, descriptor)
            added = linux.libc().syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
            if added == 0 or ctypes.get_errno() != errno.EINVAL:
                break
        linux.check(added, f"Landlock {path}")
    finally:
        os.close(descriptor)
