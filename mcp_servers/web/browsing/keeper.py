"""Starts Playwright's driver and ends everything it left: `keeper.py HOME MEMORY driver-arguments`.

It stands where Playwright expects Node.js. HOME is a folder of ours that goes with it, and the pipe
HOME/life has its other end in the server: when the server closes it, or dies however it may, all
that was started here is killed. What takes more than MEMORY bytes together loses its largest page.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
from mcp_servers.sandbox.confined import linux, proc

del sys.path[0]

LOOK_MS = 250
LIFE = "life"


def main() -> None:
    """Run the driver until it ends or the server lets go."""
    home, memory, *arguments = sys.argv[1:]
    life = os.open(f"{home}/{LIFE}", os.O_RDONLY)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    # Out of the server's group, which may be killed as a whole.
    os.setsid()
    linux.adopt_orphans()
    keeper = os.getpid()
    driver = os.fork()
    if driver == 0:
        _become_driver(keeper, home, arguments)
    _to_null(0, 1)
    _watch(driver, life, int(memory))
    _end_all()
    shutil.rmtree(home, ignore_errors=True)


def _become_driver(keeper: int, home: str, arguments: list[str]) -> None:
    os.setsid()
    linux.die_with_parent(keeper)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
    folders = dict.fromkeys(("HOME", "TMPDIR", "XDG_RUNTIME_DIR"), f"{home}/tmp")
    # The driver's first argument is its program, which lies beside its own Node.js.
    node = Path(arguments[0]).parents[1] / "node"
    os.execve(node, [str(node), *arguments], {**os.environ, **folders})


def _to_null(*descriptors: int) -> None:
    """Let go of the driver's pipes: their ends shall be seen."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def _watch(driver: int, life: int, memory: int) -> None:
    """Return when the driver has ended or the server has let go."""
    ended = os.pidfd_open(driver)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(life, select.POLLIN)
    while not poll.poll(LOOK_MS):
        _reap()
        _bound(memory)


def _reap() -> None:
    """Collect orphans that have ended; the driver's own end is seen elsewhere."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _bound(memory: int) -> None:
    """Kill the largest page while all of them together take more than they may."""
    sizes = {pid: proc.memory(pid, exact=False) for pid in proc.below(os.getpid())}
    if sum(sizes.values()) > memory:
        pages = [pid for pid in sizes if b"--type=renderer" in _command(pid)] or list(sizes)
        proc.kill(max(pages, key=sizes.__getitem__))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _end_all() -> None:
    """Kill all that is left, generation after generation: orphans become our children."""
    while young := proc.below(os.getpid()):
        for pid in young:
            proc.kill(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
        _reap()


if __name__ == "__main__":
    main()
