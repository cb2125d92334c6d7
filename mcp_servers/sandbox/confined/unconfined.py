"""The level `none`: a plain child process with limits. It keeps nothing from anybody."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mcp_servers.sandbox.confined import linux
from mcp_servers.sandbox.confined.site import Site


class Unconfined:
    """What the zygote does on this level, which only a setting allows. See Namespaces."""

    name = "none"
    ends_with_first = False

    def __init__(self, trees: Sequence[str], workspaces: str, rules: Sequence[bytes]) -> None:
        """Take what the other levels take."""
        self.trees = trees

    def promises(self) -> list[str]:
        """Return nothing: nothing is kept."""
        return []

    def first_user(self) -> int | None:
        """Return None: every sandbox is our own user."""
        return None

    def folders(self, site: Site) -> tuple[str, str]:
        """See Steps."""
        return f"{site.workspace}/home", f"{site.workspace}/tmp"

    def enter(self) -> None:
        """Do nothing."""

    def fork(self, site: Site) -> int:
        """Fork a sandbox's first process; return 0 in it, its pid here."""
        return os.fork()

    def confine(self, site: Site) -> None:
        """Have what this process starts end with it."""
        linux.die_with_parent()
        linux.adopt_orphans()
        os.setsid()
        os.chdir(f"{site.workspace}/home")

    def confine_job(self, site: Site) -> None:
        """Limit this process and what it starts."""
        site.limits.apply(alone=False)
        linux.die_with_parent()
        linux.stay_unprivileged()
