"""Runs a command as an ordinary user: `python ordinary_user.py COMMAND...`, started as root.

The interpreter may lie where only root gets at it, so its folder is shown in a mount namespace of
our own, in place of whatever is closed on the way.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from mcp_servers.sandbox.confined import linux
from mcp_servers.sandbox.confined.site import trees

USER = 65533


def open_the_way(path: Path) -> None:
    """Have every user get at a folder."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            held = os.open(path, os.O_PATH)
            linux.mount("tmpfs", str(folder), "tmpfs", 0, "mode=755")
            path.mkdir(parents=True)
            linux.mount(f"/proc/self/fd/{held}", str(path), None, linux.BIND | linux.RECURSIVE)
            return


if __name__ == "__main__":
    linux.unshare(linux.NEW_MOUNTS)
    linux.mount(None, "/", None, linux.RECURSIVE | linux.PRIVATE)
    for tree in trees():
        open_the_way(Path(tree))
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    os.execvp(sys.argv[1], sys.argv[1:])
