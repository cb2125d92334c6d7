"""Takes a body while it arrives. A page may be large, a PDF larger; few large ones at a time."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import anyio

from mcp_servers.fetching.errors import TooLarge

SMALL = 1_000_000
"""Bytes up to which a body may be held without asking: nearly all pages are smaller."""

LARGE_AT_A_TIME = 8
PDF = b"%PDF-"
PDF_WITHIN = 1024
"""Bytes in which a PDF says what it is; some begin with a few of something else."""


class Bodies:
    """Keeps many large bodies from being in memory at a time.

    Args:
        max_bytes: Largest body of a page.
        max_pdf_bytes: Largest body of a PDF.
    """

    def __init__(self, max_bytes: int, max_pdf_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.max_pdf_bytes = max(max_bytes, max_pdf_bytes)
        self.places = anyio.Semaphore(LARGE_AT_A_TIME)


class Body:
    """One body, held while the context is open.

    Args:
        bodies: All that may be held.
    """

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._received = bytearray()
        self._has_place = False

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let it go."""
        self._received = bytearray()
        if self._has_place:
            self._bodies.places.release()

    async def take(self, piece: bytes) -> None:
        """Take the next piece; wait while too many large bodies are held.

        Raises:
            TooLarge: it is more than a page may have, and no PDF; or more than a PDF may have.
        """
        self._received += piece
        size = len(self._received)
        if size > self._bodies.max_bytes and PDF not in self._received[:PDF_WITHIN]:
            limit = self._bodies.max_bytes
            raise TooLarge(f"The answer is larger than {limit} bytes, the most that is read.")
        if size > SMALL and not self._has_place:
            await self._bodies.places.acquire()
            self._has_place = True

    def bytes(self) -> bytes:
        """Return all that was taken."""
        return bytes(self._received)
