"""What a sandbox is made of, as the server tells the zygote. Sizes in bytes."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

HOME = "/home/user"
USER = 1000
"""The user, and the group, that code is inside; outside it is another."""


NO_PROGRAMS = ("/usr/src", "/usr/local/src", "/usr/local/etc")
"""What is below /usr and is not of programs: settings, and where many images keep their service."""

FIRST_USER = 704_643_072
"""As root, each sandbox is a user of its own outside, from here on: no system gives these out."""
USERS = 1 << 16
_SET_USERS = 1 << 6 | 1 << 7
"""CAP_SETGID and CAP_SETUID."""


def users_here() -> int | None:
    """Return the first of the users that sandboxes can have; None if they have to share ours."""
    if os.geteuid() != 0 or not _may_change_users():
        return None
    with open("/proc/self/uid_map", encoding="ascii") as file:
        ranges = [tuple(map(int, line.split())) for line in file]
    fits = any(
        first <= FIRST_USER and first + count >= FIRST_USER + USERS for first, _, count in ranges
    )
    return FIRST_USER if fits else None


def _may_change_users() -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        [line] = [line for line in file if line.startswith("CapEff:")]
    return int(line.split()[1], 16) & _SET_USERS == _SET_USERS


class Limits(NamedTuple):
    """What a sandbox may use. `memory`, `disk` and `files` count for all its processes together."""

    addresses: int = 2 << 30
    processes: int = 128
    descriptors: int = 256
    file_size: int = 256 << 20
    memory: int = 1 << 30
    disk: int = 1 << 30
    files: int = 20_000

    def apply(self, *, alone: bool = True, descriptors: bool = True) -> None:
        """Limit this process and what it starts, for good.

        Args:
            alone: The user, or its namespace, is the sandbox's own. Otherwise processes are not
                limited: the kernel counts all that the user has.
            descriptors: Limit them, too. Whoever sends some may have no more on their way than
                that, and there the kernel counts those of all sandboxes of a user.
        """
        _limit(resource.RLIMIT_AS, self.addresses)
        _limit(resource.RLIMIT_FSIZE, self.file_size)
        if alone:
            _limit(resource.RLIMIT_NPROC, self.processes)
        if descriptors:
            _limit(resource.RLIMIT_NOFILE, self.descriptors)


def limit_for_all() -> None:
    """Limit, for this process and what it starts, what is the same for every sandbox."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NICE, 0)
    _limit(resource.RLIMIT_RTPRIO, 0)
    _limit(resource.RLIMIT_MEMLOCK, 1 << 20)


def _limit(limit: int, most: int) -> None:
    hard = resource.getrlimit(limit)[1]
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(limit, (least, least))


class Site(NamedTuple):
    """Where one sandbox is.

    Args:
        workspace: Its folder, with `home` and `tmp` in it.
        user: The user and group that it is outside.
        limits: What it may use.
    """

    workspace: str
    user: int
    limits: Limits

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Site:
        """Return the site that a message describes."""
        return cls(message["workspace"], message["user"], Limits._make(message["limits"]))

    def told(self) -> dict[str, Any]:
        """Return what `of` understands."""
        return {"workspace": self.workspace, "user": self.user, "limits": list(self.limits)}


def trees() -> list[str]:
    """Return the folders of this interpreter, and of what is installed in it.

    Those that every sandbox sees as programs of the machine are left out.
    """
    prefixes = {Path(sys.prefix), Path(sys.base_prefix)}
    found = prefixes | {prefix.resolve() for prefix in prefixes}
    outer = {path for path in found if not any(other in path.parents for other in found)}
    return sorted(str(path) for path in outer if not _is_of_the_machine(path))


def _is_of_the_machine(path: Path) -> bool:
    return path.is_relative_to("/usr") and not any(map(path.is_relative_to, NO_PROGRAMS))


def environment(home: str, temporary: str) -> dict[str, str]:
    """Return everything that foreign code finds in its environment."""
    return {
        "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": temporary,
        "USER": "user",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
