"""Pictures that code makes: matplotlib's figures, without being asked, and image values."""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

MOST = 20
"""Pictures of one block; further ones are dropped, and the report says so."""
MAX_BYTES = 8 << 20
"""Bytes of all pictures of one block."""


class Figures:
    """Gathers the pictures of one block after the other."""

    def __init__(self) -> None:
        self._pictures: list[str] = []
        self._bytes = 0
        self.dropped = 0

    def prepare(self) -> None:
        """Have `pyplot.show()` show, if matplotlib is loaded."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None:
            return
        pyplot.switch_backend("Agg")

        # pyplot sets attributes of it, as it can of functions only.
        def show(*_: Any, **__: Any) -> None:
            self._show()

        pyplot.__dict__["show"] = show

    def add(self, data: bytes) -> None:
        """Add a PNG."""
        if len(self._pictures) >= MOST or self._bytes + len(data) > MAX_BYTES:
            self.dropped += 1
            return
        self._bytes += len(data)
        self._pictures.append(base64.b64encode(data).decode())

    def take(self) -> tuple[list[str], int]:
        """Return the block's pictures as base64, and how many were dropped; then begin anew."""
        self._show()
        taken = self._pictures, self.dropped
        self._begin_anew()
        return taken

    def drop(self) -> None:
        """Forget the block's pictures, unseen: the next block's result shall not hold them."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close("all")
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pictures, self._bytes, self.dropped = [], 0, 0

    def _show(self) -> None:
        """Take a picture of every open figure and close it."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None:
            return
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            if figure.get_axes() or figure.get_children()[1:]:
                buffer = io.BytesIO()
                figure.savefig(buffer, format="png", bbox_inches="tight")
                self.add(buffer.getvalue())
            pyplot.close(figure)
