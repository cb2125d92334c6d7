"""The system calls that foreign code does without, as seccomp programs for this machine."""

from __future__ import annotations

import errno
import os
import socket

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

_JOIN = "setns"
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


def program(*, own_network: bool, joining: bool = False) -> bytes:
    """Return the filter as the kernel takes it.

    It is made once, in the server, so that no sandbox has libseccomp in its memory.

    Args:
        own_network: The code is in a network namespace of its own, where sockets do no harm;
            otherwise it can make none.
        joining: Namespaces can still be joined; `of_joined` refuses that.

    Raises:
        OSError: libseccomp refused.
    """
    rules = _rules()
    refuse = pyseccomp.ERRNO(errno.EPERM)
    for name in REFUSED:
        if not (joining and name == _JOIN):
            _add(rules, refuse, name)
    # What the arguments of clone3 ask for lies in memory, where no filter sees it.
    _add(rules, pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    for bit in (1 << n for n in range(32)):
        if bit & _NEW_NAMESPACES:
            _add(rules, refuse, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, bit, bit))
    for request in (_TIOCSTI, _TIOCLINUX):
        _add(rules, refuse, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _INT, request))
    _add(rules, refuse, "personality", pyseccomp.Arg(0, pyseccomp.NE, 0))
    # What may not be looked into uses memory and files that nobody can count.
    undumpable = (
        pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _INT, _SET_DUMPABLE),
        pyseccomp.Arg(1, pyseccomp.EQ, 0),
    )
    _add(rules, refuse, "prctl", *undumpable)
    _restrict_sockets(rules, own_network)
    if not own_network:
        _keep_to_oneself(rules, refuse)
    return _export(rules)


def of_joined() -> bytes:
    """Return what a process adds to `program(joining=True)` once it has joined a sandbox.

    The kernel takes it in a tenth of the time that the whole filter takes.

    Raises:
        OSError: libseccomp refused.
    """
    rules = _rules()
    _add(rules, pyseccomp.ERRNO(errno.EPERM), _JOIN)
    return _export(rules)


def _rules() -> pyseccomp.SyscallFilter:
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    # A tree, for the kernel tries a new filter on every system call there is.
    rules.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _AS_A_TREE)
    return rules


def _restrict_sockets(rules: pyseccomp.SyscallFilter, own_network: bool) -> None:
    refuse = pyseccomp.ERRNO(errno.EACCES)
    # The kernel loads the module of a family before it asks whether that has pairs.
    unix = int(socket.AF_UNIX)
    _add(rules, refuse, "socketpair", pyseccomp.Arg(0, pyseccomp.NE, unix))
    if not own_network:
        _add(rules, refuse, "socket")
        return
    for family in set(range(_FIRST_UNKNOWN_FAMILY)) - set(_FAMILIES):
        _add(rules, refuse, "socket", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _INT, family))
    _add(rules, refuse, "socket", pyseccomp.Arg(0, pyseccomp.GE, _FIRST_UNKNOWN_FAMILY))
    _add(rules, refuse, "socket", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _KIND, _RAW))


def _keep_to_oneself(rules: pyseccomp.SyscallFilter, refuse: int) -> None:
    """Where other processes of the user can be named: neither their limits nor their pace."""
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
