"""Random numbers, which are others in each fork."""

from __future__ import annotations

import ctypes
import os
import sys


class Draws:
    """Seeds the generators of `random` and of numpy that everybody uses."""

    def __init__(self) -> None:
        self._state: memoryview | None = None

    def prepare(self) -> None:
        """Find, in the zygote, where numpy's generator keeps its state."""
        numpy = sys.modules.get("numpy.random")
        if numpy is None:
            return
        numpy.seed()
        generator = numpy.get_bit_generator()
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
        random = sys.modules.get("random")
        if random is not None:
            random.seed()
        if self._state is not None:
            self._state[:] = os.urandom(len(self._state))
        elif (numpy := sys.modules.get("numpy.random")) is not None:
            numpy.seed()
