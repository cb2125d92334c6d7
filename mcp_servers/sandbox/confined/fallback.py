"""The level `fallback`, for machines without namespaces: Landlock, seccomp, limits, and users."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from mcp_servers.sandbox.confined import landlock, linux
from mcp_servers.sandbox.confined.site import NO_PROGRAMS, Site, users_here

_SHOWN = (
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/ssl/certs",
    "/dev/urandom",
    "/dev/random",
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")


class Fallback:
    """What the zygote does on this level.

    Args:
        trees: Folders of the interpreter, which code may read.
        workspaces: The folder that holds the sandboxes' folders.
        rules: The seccomp filters, of which there is one.
    """

    name = "fallback"
    ends_with_first = False

    def __init__(self, trees: Sequence[str], workspaces: str, rules: Sequence[bytes]) -> None:
        self.trees = trees
        [self._filter] = map(linux.Filter, rules)
        self._programs: list[str] = []
        self._first_user = users_here() if _open_to_all((*trees, workspaces)) else None

    def promises(self) -> list[str]:
        """Return what is kept on this level."""
        kept = ["files", "secrets", "network", "kernel"]
        if self._first_user is not None or landlock.version() >= landlock.SCOPES_SINCE:
            kept.append("signals")
        return kept

    def first_user(self) -> int | None:
        """Return the user of the first sandbox; None if all are ours."""
        return self._first_user

    def folders(self, site: Site) -> tuple[str, str]:
        """See Steps."""
        return f"{site.workspace}/home", f"{site.workspace}/tmp"

    def enter(self) -> None:
        """Make ready what every sandbox needs.

        Raises:
            OSError: Landlock or libseccomp is missing.
        """
        linux.check(landlock.version() or -1, "Landlock")
        self._programs = _programs()

    def fork(self, site: Site) -> int:
        """Fork a sandbox's first process; return 0 in it, its pid here."""
        return os.fork()

    def confine(self, site: Site) -> None:
        """Make this process, the first of its sandbox, adopt whatever it starts.

        It is not confined itself: it has to see and to end what is.

        Raises:
            OSError: the kernel refused.
        """
        linux.die_with_parent()
        linux.adopt_orphans()
        linux.end_first_when_memory_is_short()
        linux.set_dumpable(False)
        os.setsid()
        os.chdir(f"{site.workspace}/home")

    def confine_job(self, site: Site) -> None:
        """Confine this process, which is about to run foreign code, and what it starts.

        Raises:
            OSError: the kernel refused.
        """
        site.limits.apply(alone=self._first_user is not None)
        if self._first_user is not None:
            os.setgroups([])
            os.setresgid(site.user, site.user, site.user)
            os.setresuid(site.user, site.user, site.user)
        elif os.getuid() == 0:
            linux.drop_capabilities()
        linux.die_with_parent()
        linux.stay_unprivileged()
        writable = (f"{site.workspace}/home", f"{site.workspace}/tmp", *_DEVICES)
        landlock.restrict(
            writable, (*_SHOWN, *self._programs, *self.trees), network=False, scoped=True
        )
        self._filter.apply()


def _programs() -> list[str]:
    """Return what is below /usr, but for what is not of programs."""
    found = [*Path("/usr").iterdir(), *Path("/usr/local").iterdir()]
    return [str(path) for path in found if str(path) not in ("/usr/local", *NO_PROGRAMS)]


def _open_to_all(paths: Sequence[str]) -> bool:
    """Whether any user can get at these folders: sandboxes with users of their own must."""
    folders = {folder for path in paths for folder in (Path(path), *Path(path).parents)}
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)
