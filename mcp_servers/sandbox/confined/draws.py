"""numpy's random numbers, which are others in each fork."""

from __future__ import annotations

import ctypes
import os
import sys


class Draws:
    """Seeds numpy's global generator; `random` sees to itself in a fork."""

    def __init__(self) -> None:
        self._state: memoryview | None = None

    def prepare(self) -> None:
        """Find, in the zygote, where the generator keeps its state."""
        random = sys.modules.get("numpy.random")
        if random is None:
            return
        random.seed()
        generator = random.get_bit_generator()
        known = generator.state
        if known["bit_generator"] != "MT19937":
            return
        key = known["state"]["key"].tobytes()
        state = (ctypes.c_char * len(key)).from_address(generator.ctypes.state_address)
        if state.raw == key:
            self._state = memoryview(state).cast("B")

    def begin_anew(self) -> None:
        """Draw other numbers from now on than any other fork, and than anybody can foresee.

        All of the state is from the operating system, as with `numpy.random.seed()`, which writes
        to many more pages that are shared with the zygote until then.
        """
        random = sys.modules.get("numpy.random")
        if self._state is not None:
            self._state[:] = os.urandom(len(self._state))
        elif random is not None:
            random.seed()
