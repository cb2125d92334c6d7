"""Becomes Chromium, without the server's rights: `launcher.py CHROMIUM arguments`.

Root becomes a user that owns nothing but the browser's folder. Chromium's own sandbox stays on
wherever the kernel lets such a user have namespaces; where it does not, there is only that user.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
from mcp_servers.sandbox.confined import linux

del sys.path[0]

USER = 64217
"""A number that no package and no person has."""

FILES = 4096
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
PROFILE = "--user-data-dir="
STANDING = "standing"
"""The file that says how Chromium was started."""

BARE = "without its own sandbox"
"""What that file ends with where Chromium has none."""


def main() -> None:
    """Give up what is not needed, then become Chromium."""
    parent = os.getppid()
    program, *arguments = sys.argv[1:]
    temporary = os.environ["TMPDIR"]
    profiles = [text.removeprefix(PROFILE) for text in arguments if text.startswith(PROFILE)]
    _become_lesser(temporary, *profiles)
    # A change of user takes this away, so it comes after.
    linux.die_with_parent(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), min(FILES, hard)))
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
    # Chromium refuses to start with its sandbox as root, or where it can have none.
    confined = os.geteuid() != 0 and _namespaces()
    standing = f"as user {os.geteuid()}, {'in its own sandbox' if confined else BARE}"
    Path(temporary, STANDING).write_text(standing)
    extra = [] if confined else ["--no-sandbox"]
    os.execve(program, [program, *arguments[:-1], *extra, *arguments[-1:]], dict(os.environ))


def _become_lesser(*folders: str) -> None:
    """Become, from root, a user that owns nothing but these folders, if there is such a user."""
    if os.geteuid() != 0:
        return
    try:
        for folder in folders:
            os.chown(folder, USER, USER)
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
    except OSError:  # a container without any other user
        return


def _namespaces() -> bool:
    """Whether the kernel gives this user namespaces, as Chromium's sandbox needs them."""
    pid = os.fork()
    if pid == 0:
        flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
        os._exit(0 if ctypes.CDLL(None).unshare(flags) == 0 else 1)
    return os.waitpid(pid, 0)[1] == 0


if __name__ == "__main__":
    main()
