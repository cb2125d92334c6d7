"""The way in: bytes become a Page, in another process, within limits of time and memory."""

from __future__ import annotations

from typing import Self

from mcp_servers.web.page import Page
from mcp_servers.web.reading.documents import Job
from mcp_servers.web.reading.kinds import kind_of
from mcp_servers.web.reading.workers import WorkerDied, Workers, WorkerSlow

MOST_BYTES = 50_000_000


class Reader:
    """Reads documents; one for a whole process, since it keeps worker processes warm.

    Args:
        workers: Most processes at a time.
        timeout_s: Seconds for one document.
    """

    def __init__(self, workers: int = 2, timeout_s: float = 30) -> None:
        self._workers = Workers(workers, timeout_s)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the workers."""
        await self._workers.__aexit__()

    async def read(
        self, body: bytes, content_type: str | None, url: str, http_status: int = 200
    ) -> Page:
        """Return the page; what is wrong with it is its status, never an exception.

        Args:
            body: The document, unpacked.
            content_type: The header as it came, if it came.
            url: Where it came from in the end.
            http_status: The status it came with.
        """
        if len(body) > MOST_BYTES:
            return _failed(
                body, content_type, url, "unsupported_type", "It is too large to be read."
            )
        try:
            return await self._workers.run(Job(body, content_type, url, http_status))
        except WorkerSlow:
            note = "Reading it takes too long, so it was given up."
            return _failed(body, content_type, url, "timeout", note)
        except WorkerDied:
            note = "Reading it takes more memory or time than is allowed, or it is broken."
            return _failed(body, content_type, url, "unsupported_type", note)


async def read(body: bytes, content_type: str | None, url: str, http_status: int = 200) -> Page:
    """Return one page by a process of its own; whoever reads more keeps a Reader."""
    async with Reader(workers=1) as reader:
        return await reader.read(body, content_type, url, http_status)


def _failed(body: bytes, content_type: str | None, url: str, status: str, note: str) -> Page:
    return Page(url, "", "", kind_of(body[:4096], content_type, url), status, note)
