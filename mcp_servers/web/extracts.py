"""What was found in pages: reads, extracts, and keeps the outcome apart from the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Protocol

import anyio

from mcp_servers.web.caching.cache import Cache, Made, key_of
from mcp_servers.web.page import Page
from mcp_servers.web.reader import PageReader, Seen

VERSION = 3
"""Part of every key: what is kept of another version is not understood."""

KEPT_S = 24 * 3600.0


class Extraction(Protocol):
    """What a page holds of what was asked for; see `mcp_servers/web/extracting/extractor.py`."""

    text: str
    citations: list[dict[str, Any]]
    status: str
    truncated: bool
    model_used: str
    tokens_used: int
    last_line: int


class Extractor(Protocol):
    """Finds in a page what was asked for."""

    async def extract(self, page: Page, info: str) -> Any:
        """Return an `Extraction`, a dataclass."""
        ...


@dataclass(frozen=True, slots=True)
class Extract:
    """What became of a request.

    Args:
        page: The page, whatever its status.
        found: The fields of the extraction; None if the page could not be read, or time ran out.
        age_s: Seconds since the older of page and extraction was made, None if both are fresh.
        late: Whether time ran out after the page was read.
    """

    page: Page
    found: dict[str, Any] | None = None
    age_s: float | None = None
    late: bool = False


class Extracts:
    """Extracts from pages.

    Args:
        reader: Reads pages.
        extractor: Finds what was asked for.
        cache: Keeps what was found.
        model: Who finds it when all goes well; what a stand-in finds is not kept.
        deadline_s: Longest time for page and extraction, in seconds.
    """

    def __init__(
        self, reader: PageReader, extractor: Extractor, cache: Cache, model: str, deadline_s: float
    ) -> None:
        self._reader = reader
        self._extractor = extractor
        self._cache = cache
        self._model = model
        self._deadline_s = deadline_s

    async def extract(
        self,
        url: str,
        info: str,
        headers: Mapping[str, str] | None = None,
        *,
        fresh: bool = False,
        deadline_s: float | None = None,
    ) -> Extract:
        """Return what a page holds of `info`; see `PageReader.read` for the other arguments."""
        limit_s = min(deadline_s or self._deadline_s, self._deadline_s)
        until = anyio.current_time() + limit_s
        seen = await self._reader.read(url, headers, fresh=fresh, deadline_s=limit_s)
        if seen.page.status != "ok":
            return Extract(seen.page, None, seen.age_s)
        with anyio.move_on_after(until - anyio.current_time()):
            return await self._found(seen, info, keep=not headers, fresh=fresh)
        return Extract(seen.page, None, seen.age_s, late=True)

    async def _found(self, seen: Seen, info: str, *, keep: bool, fresh: bool) -> Extract:
        page = seen.page

        async def make() -> Made:
            found = asdict(await self._extractor.extract(page, info))
            usual = found["model_used"] == self._model
            return Made(found, KEPT_S if keep and usual else 0.0)

        if not keep:
            return Extract(page, (await make()).value, None)
        text = blake2b(page.markdown.encode("utf-8", "replace"), digest_size=16).hexdigest()
        key = key_of("extract", VERSION, self._model, page.url, text, info)
        kept = await self._cache.get_or_make(key, make, fresh=fresh)
        ages = [age for age in (seen.age_s, kept.age_s) if age is not None]
        return Extract(page, kept.value, max(ages, default=None))
