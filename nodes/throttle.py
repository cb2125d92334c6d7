"""Keeps one flooding pipe from taking the event loop away from everybody else."""

from __future__ import annotations

import asyncio
from typing import TypeGuard

WINDOW_S = 1.0


class Throttle:
    """Pauses a pipe that brought more than `limit` units within a second, until it is over.

    Args:
        limit: Units (lines, bytes: the caller's choice) let through in each second.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spent = 0
        self._paused: asyncio.ReadTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def spend(self, amount: int, pipe: asyncio.ReadTransport | None) -> None:
        """Count `amount` units that came out of `pipe`."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WINDOW_S, self.release)
        self._spent += amount
        if self._spent > self._limit and self._paused is None and _is_open(pipe):
            pipe.pause_reading()
            self._paused = pipe

    def release(self) -> None:
        """Forget what was spent and read on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._spent = 0
        pipe, self._paused = self._paused, None
        if _is_open(pipe):
            pipe.resume_reading()


def _is_open(pipe: asyncio.ReadTransport | None) -> TypeGuard[asyncio.ReadTransport]:
    return pipe is not None and not pipe.is_closing()
