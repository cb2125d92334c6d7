"""The level `namespaces`: each sandbox has users, processes, mounts, network and IPC of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from mcp_servers.sandbox.confined import landlock, linux, root
from mcp_servers.sandbox.confined.site import HOME, USER, Limits, Site, users_here

_EACH = linux.NEW_USER | linux.NEW_PIDS | linux.NEW_MOUNTS | linux.NEW_NET | linux.NEW_IPC
_WRITABLE = (HOME, "/tmp", "/var/tmp", "/dev", "/proc")
_SHARED_MEMORY = "size=64m,nr_inodes=4096,mode=1777"
_HIGH_PID = 30_000
"""What the nursery has, roughly; workers count from 2 on."""
_PLAIN = linux.NO_SUID | linux.NO_DEV
_COUNTED_BY_USER = {
    "max_user_namespaces": 0,
    "max_inotify_instances": 8,
    "max_inotify_watches": 4096,
}
"""Of these the kernel gives a user so many; a sandbox may take that many of them."""


class Namespaces:
    """What the zygote does on this level.

    Args:
        trees: Folders of the interpreter, to be shown to sandboxes.
        workspaces: The folder that holds the sandboxes' folders.
        rules: The seccomp filters: of the zygote, and so of all; and what first processes, the
            nursery, and its forks add to that.
    """

    name = "namespaces"
    home = HOME
    temporary = "/tmp"
    ends_with_first = True

    def __init__(self, trees: Sequence[str], workspaces: str, rules: Sequence[bytes]) -> None:
        self.trees = trees
        self._covered = root.lying_in((HOME, "/tmp", "/var/tmp"), trees)
        self._workspaces = workspaces
        self._filter, self._firsts, self._nurserys, self._workers = map(linux.Filter, rules)
        self._first_user = users_here()

    def promises(self) -> list[str]:
        """Return what is kept on this level."""
        return [
            "files",
            "processes",
            "signals",
            "ipc",
            "secrets",
            "network",
            "kernel",
            "process_limit",
            "memory_limit",
            "disk_limit",
            "fairness",
            "ends",
        ]

    def first_user(self) -> int | None:
        """Return the user that the first sandbox is outside; None if all are ours."""
        return self._first_user

    def folders(self, site: Site) -> tuple[str, str]:
        """See Steps."""
        return self.home, self.temporary

    def enter(self) -> None:
        """Move to a root and process ids of our own; return in the process that goes on.

        Raises:
            OSError: the kernel refused.
        """
        user, group = os.getuid(), os.getgid()
        # The name of the machine is the same for all of them, who cannot change it. The network is
        # empty, for /proc shows that of a worker which has yet to join its sandbox.
        spaces = linux.NEW_MOUNTS | linux.NEW_PIDS | linux.NEW_UTS | linux.NEW_NET
        try:
            linux.unshare(spaces)
        except PermissionError:
            linux.unshare(spaces | linux.NEW_USER)
            linux.map_ids(user, user, group)
        pid = os.fork()
        if pid:
            os._exit(_wait(pid))
        linux.die_with_parent()
        socket.sethostname("sandbox")
        _check_that_joining_works()
        root.build(self.trees, self._covered, self._workspaces)
        # By its pid alone OpenSSL, for one, tells a fork, which else draws what its parent would.
        _set("/proc/sys/kernel/ns_last_pid", _HIGH_PID)
        if user == 0:
            # Sandboxes get users of their own, so none may be left with a group of root's.
            try:
                os.setgroups([])
            except PermissionError:
                pass
        linux.stay_unprivileged()
        self._filter.apply()

    def fork(self, site: Site) -> int:
        """Fork a sandbox's first process into its namespaces; return 0 in it, its pid here.

        Raises:
            OSError: the kernel refused.
        """
        user, group = os.geteuid(), os.getegid()
        if site.user == user:
            return linux.fork_into(_EACH)
        os.setresgid(-1, site.user, -1)
        os.setresuid(-1, site.user, -1)
        try:
            pid = linux.fork_into(_EACH)
        except OSError:
            pid = -1
            raise
        finally:
            if pid != 0:
                os.setresuid(-1, user, -1)
                os.setresgid(-1, group, -1)
                linux.die_with_parent()  # forgotten by the kernel with a change of users
        return pid

    def confine(self, site: Site) -> None:
        """Confine this process, the first of its sandbox, and everything that it will start.

        Raises:
            OSError: the kernel refused.
        """
        # Its own files below /proc belong to root while it is not dumpable.
        linux.set_dumpable(True)
        linux.map_ids(USER, site.user, site.user)
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        linux.raise_loopback()
        linux.mount("proc", "/proc", "proc", _PLAIN | linux.NO_EXEC)
        linux.end_first_when_memory_is_short()
        for name, most in _COUNTED_BY_USER.items():
            _set(f"/proc/sys/user/{name}", most)
        mine = f"{root.WORKSPACES}/{site.workspace.rpartition('/')[2]}"
        for source, target in (
            (f"{mine}/home", HOME),
            (f"{mine}/tmp", "/tmp"),
            ("/tmp", "/var/tmp"),
        ):
            linux.mount(source, target, None, linux.BIND)
        root.show_again(self._covered)
        linux.mount("tmpfs", "/dev/shm", "tmpfs", _PLAIN, _SHARED_MEMORY)
        linux.mount("tmpfs", "/run", "tmpfs", _PLAIN | linux.READ_ONLY, "size=4k")
        linux.restrict_mount("/", _PLAIN | linux.READ_ONLY)
        os.chdir(HOME)
        # It sends descriptors to the nursery, which code of other sandboxes shall not prevent.
        site.limits.apply(descriptors=False)
        # To see what is used, however it is hidden: no folder and no process is closed to it.
        linux.lock_capabilities()
        linux.keep_capabilities(linux.READ_ANY_FILE, linux.LOOK_INTO_ANY_PROCESS)
        linux.set_dumpable(False)
        self._firsts.apply()

    def confine_nursery(self) -> None:
        """See Joining.

        Raises:
            OSError: the kernel refused.
        """
        linux.set_dumpable(False)
        self._nurserys.apply()

    def fork_beside(self, spaces: Sequence[int]) -> int:
        """See Joining."""
        # Our next children are of these process ids as well, but each call names them anew.
        linux.join(spaces[0])
        return linux.fork()

    def join(self, spaces: Sequence[int]) -> None:
        """See Joining.

        Raises:
            OSError: the kernel refused, or the sandbox is over.
        """
        for space in spaces[1:]:
            linux.join(space)
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        os.chdir(HOME)
        linux.lock_capabilities()
        self._workers.apply()

    def confine_job(self, site: Site) -> None:
        """See Steps."""
        self.confine_worker(site.limits)

    def confine_worker(self, limits: Limits) -> None:
        """Limit this process, and give up what the first process may and no job needs.

        Its Landlock is each job's own: it lets the first process, which has none, look into all of
        them. Signals and sockets need no scope, for there is nobody else to reach.

        Raises:
            OSError: the kernel refused.
        """
        limits.apply()
        linux.keep_capabilities()
        if landlock.version():
            landlock.restrict(_WRITABLE, ("/",), network=True, scoped=False)


def _check_that_joining_works() -> None:
    """See whether namespaces can be joined.

    Raises:
        OSError: they cannot; a container may refuse it.
    """
    spaces = linux.namespaces()
    try:
        linux.join(spaces[0])
    finally:
        for space in spaces:
            os.close(space)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF


def _set(path: str, most: int) -> None:
    try:
        linux.write(path, str(most))
    except OSError:
        return  # not of this kernel: then what counts is that of the user outside
