"""The time of one fetch: its deadline stands still while it waits for what is not its own doing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from mcp_servers.fetching.errors import TooSlow


class Patience:
    """How long one fetch may take.

    Args:
        deadline_s: Seconds for all but its waits, which have limits of their own.
    """

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._scope = anyio.CancelScope()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let time pass.

        Raises:
            TooSlow: it is over.
        """
        self._scope.deadline = anyio.current_time() + self._deadline_s
        with self._scope:
            yield
        if self._scope.cancelled_caught:
            raise TooSlow(f"The whole answer did not come within {self._deadline_s:g} s.")

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let no time pass while the context is open."""
        left_s = self._scope.deadline - anyio.current_time()
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._scope.deadline = anyio.current_time() + left_s
