"""Calls to Linux that Python does not wrap. The numbers differ by machine only where said so."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import signal
import socket
import struct
from collections.abc import Sequence
from typing import Any

NEW_MOUNTS = 0x00020000
NEW_UTS = 0x04000000
NEW_IPC = 0x08000000
NEW_USER = 0x10000000
NEW_PIDS = 0x20000000
NEW_NET = 0x40000000
_SIGCHLD = 17

READ_ONLY, NO_SUID, NO_DEV, NO_EXEC = 1, 2, 4, 8
REMOUNT, BIND, RECURSIVE, PRIVATE = 32, 4096, 16384, 1 << 18
DETACH = 2

_SET_PDEATHSIG = 1
_SET_DUMPABLE = 4
_SET_SECCOMP = 22
_CAPBSET_DROP = 24
_SET_CHILD_SUBREAPER = 36
_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_LAST_CAPABILITY = 63
READ_ANY_FILE, LOOK_INTO_ANY_PROCESS = 2, 19
"""CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE."""

_CLONE = {"x86_64": 56, "aarch64": 220}
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442
_AT_RECURSIVE = 0x8000

_COLLAPSE = 25
_LARGE_PAGE = 2 << 20

_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x41


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def libc() -> Any:
    """Return the C library, its errors kept for `check`."""
    return ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """Return a result that is no failure.

    Raises:
        OSError: it is one; the text begins with `what`.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def fork_into(namespaces: int) -> int:
    """Fork into new namespaces in one step; return 0 in the child, its pid in the parent.

    The interpreter is told as it is by `os.fork`. The process must have one thread only.

    Raises:
        OSError: the kernel refused.
    """
    python = ctypes.PyDLL(None, use_errno=True)
    python.PyOS_BeforeFork()
    pid = python.syscall(_by_machine(_CLONE), namespaces | _SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        python.PyOS_AfterFork_Child()
        return 0
    number = ctypes.get_errno()
    python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone: {os.strerror(number)}")
    return int(pid)


def unshare(namespaces: int) -> None:
    """Move this process (pids: its children) into new namespaces.

    Raises:
        OSError: the kernel refused.
    """
    check(libc().unshare(namespaces), "unshare")


def map_ids(inside: int, user: int, group: int) -> None:
    """Map one user and one group into the user namespace that this process is in.

    Raises:
        OSError: the kernel refused.
    """
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/gid_map", f"{inside} {group} 1")
    _write("/proc/self/uid_map", f"{inside} {user} 1")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount something; what the arguments mean is in the manual page.

    Raises:
        OSError: the kernel refused; the text names the target.
    """
    encoded = [part.encode() if part is not None else None for part in (source, target, kind)]
    check(libc().mount(*encoded, flags, data.encode() or None), f"mount {target}")


def restrict_mount(target: str, flags: int, *, recursive: bool = False) -> None:
    """Add restrictions (READ_ONLY, NO_SUID, NO_DEV, NO_EXEC) to a mount, and to those below it.

    Raises:
        OSError: the kernel refused.
    """
    wanted = _MountAttributes(set=flags)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    path = target.encode()
    how = _AT_RECURSIVE if recursive else 0
    if libc().syscall(_MOUNT_SETATTR, -100, path, how, ctypes.byref(wanted), size) < 0:
        # Before Linux 5.12: this mount only, and what it is restricted to already is said again.
        already = os.statvfs(target).f_flag & (READ_ONLY | NO_SUID | NO_DEV | NO_EXEC)
        mount(None, target, None, BIND | REMOUNT | flags | already)


def pivot_to(root: str) -> None:
    """Make a folder this process's root, and let go of the old one.

    Raises:
        OSError: the kernel refused.
    """
    os.chdir(root)
    # With both the same, the old root lies upon the new one, and can be taken off.
    check(libc().syscall(_by_machine(_PIVOT_ROOT), b".", b"."), "pivot_root")
    check(libc().umount2(b".", DETACH), "umount the old root")
    os.chdir("/")


def drop_capabilities(keep: Sequence[int] = ()) -> None:
    """Give up capabilities, all of them for what this process executes.

    Args:
        keep: What this process, and what it forks, still may; each below 32.

    Raises:
        OSError: the kernel refused.
    """
    library = libc()
    for capability in range(_LAST_CAPABILITY + 1):
        library.prctl(_CAPBSET_DROP, capability, 0, 0, 0)  # fails past the last one there is
    kept = sum(1 << capability for capability in keep)
    # Effective, permitted and inheritable, once for the lower 32 and once for the rest.
    sets = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    check(library.capset(ctypes.byref(_CapHeader(0x20080522, 0)), sets), "capset")


def set_dumpable(dumpable: bool) -> None:
    """Say whether processes of the same user may look into this one."""
    check(libc().prctl(_SET_DUMPABLE, int(dumpable), 0, 0, 0), "prctl")


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies.

    Args:
        parent: The parent, if it can be seen from here: it may have died already.
    """
    check(libc().prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies."""
    check(libc().prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def end_first_when_memory_is_short() -> None:
    """Have the kernel end this process, and those it starts, before it ends any other."""
    _write("/proc/self/oom_score_adj", "1000")


def stay_unprivileged() -> None:
    """Give up set-uid programs for good; filters and Landlock ask for it."""
    check(libc().prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def apply_filter(program: bytes) -> None:
    """Apply a seccomp filter, from now on and for everything this process starts.

    Raises:
        OSError: the kernel refused.
    """
    code = ctypes.create_string_buffer(program)
    head = _FilterProgram(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    check(libc().prctl(_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(head), 0, 0), "seccomp")


def gather_memory() -> None:
    """Move this process's own memory into large pages, whose tables a fork copies in less time.

    What is not of whole large pages stays as it is; so does all of it before Linux 6.1.
    """
    library = libc()
    with open("/proc/self/maps", encoding="ascii", errors="replace") as file:
        lines = [line.split() for line in file]
    for span, access, *_, name in (line if len(line) > 5 else [*line, ""] for line in lines):
        if access != "rw-p" or name not in ("", "[heap]"):
            continue
        begin, end = (int(address, 16) for address in span.split("-"))
        begin, end = -(-begin // _LARGE_PAGE) * _LARGE_PAGE, end // _LARGE_PAGE * _LARGE_PAGE
        if begin < end:
            library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _COLLAPSE)


def raise_loopback() -> None:
    """Bring up 127.0.0.1 in a new network namespace.

    Raises:
        OSError: the kernel refused.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))


def _by_machine(numbers: dict[str, int]) -> int:
    machine = platform.machine()
    if machine not in numbers:
        raise OSError(f"no sandboxes on {machine} yet: x86_64 and aarch64 only")
    return numbers[machine]


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
