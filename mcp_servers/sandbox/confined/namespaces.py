"""The level `namespaces`: each sandbox has users, processes, mounts, network and IPC of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from mcp_servers.sandbox.confined import filters, landlock, linux, root
from mcp_servers.sandbox.confined.site import HOME, USER, Site, users_here

_EACH = (
    linux.NEW_USER
    | linux.NEW_PIDS
    | linux.NEW_MOUNTS
    | linux.NEW_NET
    | linux.NEW_IPC
    | linux.NEW_UTS
)
_SHARED_MEMORY = "size=64m,nr_inodes=4096,mode=1777"
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
    """

    name = "namespaces"
    home = HOME
    temporary = "/tmp"
    ends_with_first = True

    def __init__(self, trees: Sequence[str], workspaces: str) -> None:
        self._trees = trees
        self._workspaces = workspaces
        self._filter = b""
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

    def enter(self) -> None:
        """Move to a root and process ids of our own; return in the process that goes on.

        Raises:
            OSError: the kernel refused.
        """
        self._filter = filters.program(own_network=True)
        user, group = os.getuid(), os.getgid()
        spaces = linux.NEW_MOUNTS | linux.NEW_PIDS
        try:
            linux.unshare(spaces)
        except PermissionError:
            linux.unshare(spaces | linux.NEW_USER)
            linux.map_ids(user, user, group)
        pid = os.fork()
        if pid:
            os._exit(_wait(pid))
        linux.die_with_parent()
        root.build(self._trees, self._workspaces)
        if user == 0:
            # Sandboxes get users of their own, so none may be left with a group of root's.
            try:
                os.setgroups([])
            except PermissionError:
                pass

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
        socket.sethostname("sandbox")
        linux.raise_loopback()
        linux.mount("proc", "/proc", "proc", _PLAIN | linux.NO_EXEC)
        linux.end_first_when_memory_is_short()
        for name, most in _COUNTED_BY_USER.items():
            _set(f"/proc/sys/user/{name}", most)
        mine = f"{root.WORKSPACES}/{os.path.basename(site.workspace)}"
        for source, target in (
            (f"{mine}/home", HOME),
            (f"{mine}/tmp", "/tmp"),
            ("/tmp", "/var/tmp"),
        ):
            linux.mount(source, target, None, linux.BIND)
            linux.restrict_mount(target, _PLAIN)
        root.show_again(self._trees, (HOME, "/tmp", "/var/tmp"))
        linux.mount("tmpfs", "/dev/shm", "tmpfs", _PLAIN, _SHARED_MEMORY)
        linux.mount("tmpfs", "/run", "tmpfs", _PLAIN | linux.READ_ONLY, "size=4k")
        linux.restrict_mount("/", _PLAIN | linux.READ_ONLY)
        os.chdir(HOME)
        site.limits.apply()
        # To see what is used, however it is hidden: no folder and no process is closed to it.
        linux.drop_capabilities(keep=(linux.READ_ANY_FILE, linux.LOOK_INTO_ANY_PROCESS))
        linux.stay_unprivileged()
        if landlock.version():
            writable = (HOME, "/tmp", "/var/tmp", "/dev", "/proc")
            landlock.restrict(writable, ("/",), network=True, scoped=True)
        linux.set_dumpable(False)
        linux.apply_filter(self._filter)

    def confine_job(self, site: Site) -> None:
        """Give up what the first process may; what it executes is confined as it is.

        Raises:
            OSError: the kernel refused.
        """
        linux.drop_capabilities()


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF


def _set(path: str, most: int) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(str(most))
    except OSError:
        return  # not of this kernel: then what counts is that of the user outside
