"""Random numbers, which are others in each fork."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable


class Draws:
    """Seeds the generators of `random` and of numpy that everybody uses."""

    def __init__(self) -> None:
        self._seed: Callable[[], None] | None = None
        self._state: memoryview | None = None

    def prepare(self) -> None:
        """Find, in the zygote, what seeds the generator of `random`, and where numpy's is."""
        random = sys.modules.get("random")
        if random is not None:
            random.seed()  # it keeps no number for the next call now
            # What `random.seed` comes to, which does more.
            self._seed = functools.partial(random.Random.__base__.seed, random.seed.__self__)
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
        if self._seed is not None:
            self._seed()
        if self._state is not None:
            self._state[:] = os.urandom(len(self._state))
        elif (numpy := sys.modules.get("numpy.random")) is not None:
            numpy.seed()
