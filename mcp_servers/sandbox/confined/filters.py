"""The system calls that foreign code does without, as seccomp programs for this machine."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable

import pyseccomp

REFUSED = """
    ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd
    mount umount2 pivot_root chroot unshare setns
    open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
    open_by_handle_at name_to_handle_at quotactl quotactl_fd fanotify_init
    add_key request_key keyctl
    bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register
    init_module finit_module delete_module kexec_load kexec_file_load reboot
    swapon swapoff acct syslog vhangup
    sethostname setdomainname settimeofday clock_settime adjtimex clock_adjtime
    iopl ioperm modify_ldt lookup_dcookie nfsservctl uselib ustat sysfs _sysctl
    mbind set_mempolicy get_mempolicy migrate_pages move_pages set_mempolicy_home_node
    shmget shmat shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl
    mq_open memfd_secret
""".split()  # noqa: SIM905 (a list of 70 would take 70 lines)
"""Refused with EPERM on every level: powerful, rare, or counted for nobody."""

_CONFINING = frozenset({"mount", "mount_setattr", "setns"})
"""Those of them that it takes to confine a sandbox in namespaces, beside clone."""
_NEW_NAMESPACES = 0x7E020080
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
_FIRST_UNKNOWN_FAMILY = 46
_INT = 0xFFFFFFFF
"""The kernel looks at these bits of an argument that is an int; the others may hold anything."""
_SET_DUMPABLE = 4
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_OTHERS = ("sched_setscheduler", "sched_setparam", "sched_setattr", "sched_setaffinity")
_RAW = 3
_AS_A_TREE = 2
_KIND = 0xF


def whole() -> bytes:
    """Return the filter of code that has no namespaces, as the kernel takes it.

    Filters are made once, in the server, so that no sandbox has libseccomp in its memory.

    Raises:
        OSError: libseccomp refused.
    """
    rules = _rules()
    _refuse(rules, REFUSED)
    _refuse_powers(rules)
    _refuse_namespaces(rules)
    _add(rules, pyseccomp.ERRNO(errno.EACCES), "socket")
    _keep_to_oneself(rules)
    return _export(rules)


def of_zygote() -> bytes:
    """Return what all do without where sandboxes have namespaces, those who make them as well.

    It is applied once. Whoever is forked from there adds what it needs no longer, which the kernel
    takes in a tenth of the time.

    Raises:
        OSError: libseccomp refused.
    """
    rules = _rules()
    _refuse(rules, [name for name in REFUSED if name not in _CONFINING])
    _refuse_powers(rules)
    _restrict_sockets(rules)
    return _export(rules)


def of_first() -> bytes:
    """Return what is added where a sandbox is confined.

    Raises:
        OSError: libseccomp refused.
    """
    return _of_confined(_CONFINING)


def of_nursery() -> bytes:
    """Return what the nursery adds, whose forks have to join a sandbox.

    Raises:
        OSError: libseccomp refused.
    """
    return _of_confined(_CONFINING - {"setns"})


def of_worker() -> bytes:
    """Return what a fork of the nursery adds once it has joined a sandbox.

    Raises:
        OSError: libseccomp refused.
    """
    rules = _rules()
    _refuse(rules, ("setns",))
    return _export(rules)


def _of_confined(refused: Iterable[str]) -> bytes:
    rules = _rules()
    _refuse(rules, refused)
    _refuse_namespaces(rules)
    return _export(rules)


def _rules() -> pyseccomp.SyscallFilter:
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    # A tree, for the kernel tries a new filter on every system call there is.
    rules.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _AS_A_TREE)
    return rules


def _refuse(rules: pyseccomp.SyscallFilter, names: Iterable[str]) -> None:
    for name in names:
        _add(rules, pyseccomp.ERRNO(errno.EPERM), name)


def _refuse_powers(rules: pyseccomp.SyscallFilter) -> None:
    """Refuse, of calls that are of use otherwise, what only harms."""
    refuse = pyseccomp.ERRNO(errno.EPERM)
    # What the arguments of clone3 ask for lies in memory, where no filter sees it.
    _add(rules, pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    for request in (_TIOCSTI, _TIOCLINUX):
        _add(rules, refuse, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _INT, request))
    _add(rules, refuse, "personality", pyseccomp.Arg(0, pyseccomp.NE, 0))
    # The kernel loads the module of a family before it asks whether that has pairs.
    unix = int(socket.AF_UNIX)
    _add(rules, pyseccomp.ERRNO(errno.EACCES), "socketpair", pyseccomp.Arg(0, pyseccomp.NE, unix))


def _refuse_namespaces(rules: pyseccomp.SyscallFilter) -> None:
    """Refuse new namespaces, and what is done without once they are there."""
    refuse = pyseccomp.ERRNO(errno.EPERM)
    for bit in (1 << n for n in range(32)):
        if bit & _NEW_NAMESPACES:
            _add(rules, refuse, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, bit, bit))
    # What may not be looked into uses memory and files that nobody can count.
    undumpable = (
        pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _INT, _SET_DUMPABLE),
        pyseccomp.Arg(1, pyseccomp.EQ, 0),
    )
    _add(rules, refuse, "prctl", *undumpable)


def _restrict_sockets(rules: pyseccomp.SyscallFilter) -> None:
    """Allow sockets of a network that is the sandbox's own, where they do no harm."""
    refuse = pyseccomp.ERRNO(errno.EACCES)
    for family in set(range(_FIRST_UNKNOWN_FAMILY)) - set(_FAMILIES):
        _add(rules, refuse, "socket", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _INT, family))
    _add(rules, refuse, "socket", pyseccomp.Arg(0, pyseccomp.GE, _FIRST_UNKNOWN_FAMILY))
    _add(rules, refuse, "socket", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _KIND, _RAW))


def _keep_to_oneself(rules: pyseccomp.SyscallFilter) -> None:
    """Where other processes of the user can be named: neither their limits nor their pace."""
    refuse = pyseccomp.ERRNO(errno.EPERM)
    for name in (*_OTHERS, "prlimit64"):
        _add(rules, refuse, name, pyseccomp.Arg(0, pyseccomp.NE, 0))
    for name in ("setpriority", "ioprio_set"):
        _add(rules, refuse, name, pyseccomp.Arg(1, pyseccomp.NE, 0))


def _add(rules: pyseccomp.SyscallFilter, action: int, name: str, *arguments: pyseccomp.Arg) -> None:
    try:
        number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
    except ValueError:
        return  # this machine, or this libseccomp, does not know it
    if number >= 0:
        rules.add_rule(action, number, *arguments)


def _export(rules: pyseccomp.SyscallFilter) -> bytes:
    with open(os.memfd_create("filter"), "w+b") as file:
        rules.export_bpf(file)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return file.read()
