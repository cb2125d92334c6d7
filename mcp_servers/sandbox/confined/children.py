"""The children of a process that waits with `poll`: wakes it when one ends, and collects them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

ENDED_UNSEEN = 125
"""The exit code of one whose end nobody saw."""


class Children:
    """Makes `descriptor` readable when a child has ended. This process calls `heed` before."""

    def __init__(self) -> None:
        self.descriptor, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)

    def collect(self) -> Iterator[tuple[int, int]]:
        """Yield the pid and the exit code of each child that has ended."""
        os.read(self.descriptor, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            yield pid, os.waitstatus_to_exitcode(status)


def heed() -> None:
    """Have the ends of children noticed, here and in forks."""
    signal.signal(signal.SIGCHLD, lambda *_: None)


def forget() -> None:
    """Note, in a fork, that the parent's children are not its own."""
    signal.set_wakeup_fd(-1)


def forget_for_good() -> None:
    """Note, in a fork that will run foreign code, that it is told of no child."""
    forget()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
