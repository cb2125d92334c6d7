"""Calls to Linux that Python does not wrap. The numbers differ by machine only where said so."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import signal
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
_SPACES = ("pid", "user", "mnt", "net", "ipc")

READ_ONLY, NO_SUID, NO_DEV, NO_EXEC = 1, 2, 4, 8
REMOUNT, BIND, RECURSIVE, PRIVATE = 32, 4096, 16384, 1 << 18
DETACH = 2

_SET_PDEATHSIG = 1
_SET_DUMPABLE = 4
_SET_SECCOMP = 22
_SET_CHILD_SUBREAPER = 36
_CAPBSET_DROP = 24
_SET_SECUREBITS = 28
_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_LAST_CAPABILITY = 63
_NONE_FOR_ROOT = 0xEF
"""Nothing for being root, for becoming another user, or ambient; each locked."""
READ_ANY_FILE, LOOK_INTO_ANY_PROCESS = 2, 19
"""CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE."""

_BY_MACHINE = {
    "x86_64": {"clone": 56, "pivot_root": 155},
    "aarch64": {"clone": 220, "pivot_root": 41},
}
_MOUNT_SETATTR = 442
_AT_RECURSIVE = 0x8000

_AF_INET, _SOCK_DGRAM = 2, 2
_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x41


_IN_LIBC = ("capset", "ioctl", "mount", "prctl", "setns", "socket", "syscall")
_IN_HELD_LIBC = ("fork", "syscall")


_CAP_HEADER = struct.pack("Ii", 0x20080522, 0)
"""The version of what follows it, and this process."""
_CAP_SETS = struct.Struct("6I")
"""Effective, permitted and inheritable, once for the lower 32 and once for the rest."""
_MOUNT_ATTRIBUTES = struct.Struct("4Q")
"""Set, clear, propagation and users."""


class Filter:
    """A seccomp filter, made ready before the fork that applies it.

    Args:
        program: Instructions of eight bytes each.
    """

    def __init__(self, program: bytes) -> None:
        self._program = ctypes.create_string_buffer(program, len(program))
        place = ctypes.addressof(self._program)
        self._head = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, place))
        self._place = ctypes.c_void_p(ctypes.addressof(self._head))

    def apply(self) -> None:
        """Apply it, from now on and for everything this process starts.

        Raises:
            OSError: the kernel refused.
        """
        check(libc().prctl(_SET_SECCOMP, _SECCOMP_MODE_FILTER, self._place, 0, 0), "seccomp")


@functools.cache
def libc() -> Any:
    """Return the C library, its errors kept for `check`."""
    return _found(ctypes.CDLL(None, use_errno=True), _IN_LIBC)


@functools.cache
def _held_libc() -> Any:
    """Return the C library, called without letting another thread run meanwhile."""
    return _found(ctypes.PyDLL(None, use_errno=True), _IN_HELD_LIBC)


def _found(library: Any, names: Sequence[str]) -> Any:
    """Return the library with functions looked up, which each fork would have to do anew."""
    for name in names:
        getattr(library, name)
    return library


def check(result: int, what: str) -> int:
    """Return a result that is no failure.

    Raises:
        OSError: it is one; the text begins with `what`.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def fork() -> int:
    """Fork without telling libraries; return 0 in the child, its pid in the parent.

    What they register sees to threads and their locks, and in a process of one thread to nothing.
    It would write to more of the memory that is shared until then than all else about a fork.

    Raises:
        OSError: the kernel refused.
    """
    return check(_held_libc().fork(), "fork")


def fork_into(namespaces: int) -> int:
    """Do what `fork` does, into new namespaces, in one step.

    Raises:
        OSError: the kernel refused.
    """
    flags = namespaces | _SIGCHLD
    return check(_held_libc().syscall(_number("clone"), flags, 0, 0, 0, 0), "clone")


def unshare(namespaces: int) -> None:
    """Move this process (pids: its children) into new namespaces.

    Raises:
        OSError: the kernel refused.
    """
    check(libc().unshare(namespaces), "unshare")


def namespaces() -> list[int]:
    """Return descriptors of what this process is in: pids first, then users, then the rest.

    By these others can follow who may not look into this process, as Linux asks of whoever names
    the process itself.

    Raises:
        OSError: it has too many descriptors.
    """
    opened: list[int] = []
    try:
        for name in _SPACES:
            opened += (os.open(f"/proc/self/ns/{name}", os.O_RDONLY),)
    except OSError:
        for space in opened:
            os.close(space)
        raise
    return opened


def join(namespace: int) -> None:
    """Move this process (pids: its children) into a namespace.

    Args:
        namespace: A descriptor, as of `namespaces`.

    Raises:
        OSError: the kernel refused.
    """
    check(libc().setns(namespace, 0), "setns")


def map_ids(inside: int, user: int, group: int) -> None:
    """Map one user and one group into the user namespace that this process is in.

    Raises:
        OSError: the kernel refused.
    """
    write("/proc/self/setgroups", "deny")
    write("/proc/self/gid_map", f"{inside} {group} 1")
    write("/proc/self/uid_map", f"{inside} {user} 1")


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
    wanted = _MOUNT_ATTRIBUTES.pack(flags, 0, 0, 0)
    path = target.encode()
    how = _AT_RECURSIVE if recursive else 0
    if libc().syscall(_MOUNT_SETATTR, -100, path, how, wanted, len(wanted)) < 0:
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
    check(libc().syscall(_number("pivot_root"), b".", b"."), "pivot_root")
    check(libc().umount2(b".", DETACH), "umount the old root")
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up all capabilities, for this process and for whatever it will execute.

    Raises:
        OSError: the kernel refused.
    """
    prctl = libc().prctl
    for capability in range(_LAST_CAPABILITY + 1):
        if prctl(_CAPBSET_DROP, capability, 0, 0, 0) and ctypes.get_errno() == errno.EINVAL:
            break  # past the last one there is
    keep_capabilities()


def lock_capabilities() -> None:
    """Have this process, and what it executes, gain no capability by being, or becoming, root.

    One call for what dropping the bounding set takes forty, each of which makes new credentials.
    Capabilities of files are kept away by `stay_unprivileged`, and by mounts without them.

    Raises:
        OSError: the kernel refused.
    """
    check(libc().prctl(_SET_SECUREBITS, _NONE_FOR_ROOT, 0, 0, 0), "securebits")


def keep_capabilities(*kept: int) -> None:
    """Give up all other capabilities, for this process; each that is kept is below 32.

    Raises:
        OSError: the kernel refused.
    """
    sets = sum(1 << capability for capability in kept)
    check(libc().capset(_CAP_HEADER, _CAP_SETS.pack(sets, sets, 0, 0, 0, 0)), "capset")


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
    write("/proc/self/oom_score_adj", "1000")


def stay_unprivileged() -> None:
    """Gain nothing from here on by executing anything; filters and Landlock ask for it."""
    check(libc().prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def raise_loopback() -> None:
    """Bring up 127.0.0.1 in a new network namespace.

    Raises:
        OSError: the kernel refused.
    """
    library = libc()
    control = check(library.socket(_AF_INET, _SOCK_DGRAM, 0), "socket")
    try:
        wanted = struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING)
        check(library.ioctl(control, _SIOCSIFFLAGS, wanted), "ioctl lo")
    finally:
        os.close(control)


@functools.cache
def _number(call: str) -> int:
    machine = platform.machine()
    if machine not in _BY_MACHINE:
        raise OSError(f"no sandboxes on {machine} yet: x86_64 and aarch64 only")
    return _BY_MACHINE[machine][call]


def write(path: str, text: str) -> None:
    """Write to a file of the kernel's, at once.

    Raises:
        OSError: the kernel refused.
    """
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
