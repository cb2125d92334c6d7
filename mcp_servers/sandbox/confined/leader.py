"""What a fork does before it runs foreign code, on every level."""

from __future__ import annotations

import os
import signal

from mcp_servers.sandbox.confined.site import environment

_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)
"""Ignored where Python waits for blocks, which what is executed there would do as well."""


def keep_only(*kept: int) -> None:
    """Close whatever came along with the fork but the standard streams and some more."""
    begin = 3
    for descriptor in sorted(kept):
        os.closerange(begin, descriptor)
        begin = descriptor + 1
    os.closerange(begin, 1 << 16)


def lead() -> None:
    """Become the leader of a session, which nobody writes to."""
    os.setsid()
    # Opened anew: what was inherited is shared with others.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def take_environment(home: str, temporary: str) -> None:
    """Have in the environment what foreign code finds there, and nothing else."""
    os.environ.clear()
    os.environ.update(environment(home, temporary))


def heed_all_signals() -> None:
    """Let what is executed next end at any signal, as a program of a shell does."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
