"""Unpacks a body piece by piece, so that no bomb is ever in memory as a whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from mcp_servers.fetching.errors import BrokenAnswer

ACCEPTED = "gzip, deflate"
PIECE = 1 << 16
_GZIP = 16 + zlib.MAX_WBITS


class Decoder(Protocol):
    """Unpacks one body."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` unpacks to, in pieces of at most PIECE bytes (or of `data`'s size).

        Raises:
            BrokenAnswer: it is not what its header says.
        """
        ...

    def finish(self) -> None:
        """Check that the body is complete.

        Raises:
            BrokenAnswer: it is not.
        """
        ...


def decoder(encoding: str) -> Decoder:
    """Return what unpacks a Content-Encoding; only what we asked for, and in one layer.

    Raises:
        BrokenAnswer: it is another one.
    """
    layers = [name for part in encoding.lower().split(",") if (name := part.strip())]
    match [name for name in layers if name != "identity"]:
        case []:
            return _Plain()
        case ["gzip" | "x-gzip"]:
            return _Packed(_GZIP)
        case ["deflate"]:
            return _Packed(zlib.MAX_WBITS)
    raise BrokenAnswer(f"The server packed its answer in a way we did not ask for ({encoding!r}).")


class _Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        return


class _Packed:
    """gzip in any number of members, or deflate with its header or (as some send it) without."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._unpack = zlib.decompressobj(window)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._unpack.eof:
                if self._window != _GZIP or not data.strip(b"\0"):
                    return  # what follows the end is padding
                self._unpack = zlib.decompressobj(self._window)
            piece = self._some(data)
            self._begun = True
            data = self._unpack.unconsumed_tail or self._unpack.unused_data
            if piece:
                yield piece

    def finish(self) -> None:
        if self._begun and not self._unpack.eof:
            raise BrokenAnswer("The server's answer ends in the middle.")

    def _some(self, data: bytes) -> bytes:
        try:
            return self._unpack.decompress(data, PIECE)
        except zlib.error:
            if self._begun or self._window != zlib.MAX_WBITS:
                raise BrokenAnswer("The server's answer cannot be unpacked.") from None
        self._unpack = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return self._unpack.decompress(data, PIECE)
        except zlib.error:
            raise BrokenAnswer("The server's answer cannot be unpacked.") from None
