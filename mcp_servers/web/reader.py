"""Reads a page: may it be read, is it kept, fetch it, read it, render or relay it if need be."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import anyio

from mcp_servers.fetching.errors import FetchError, Refused, TooSlow
from mcp_servers.fetching.fetcher import Fetched, Fetcher, Request
from mcp_servers.fetching.guard import Guard
from mcp_servers.web.body import Bodies, Body
from mcp_servers.web.caching.cache import Cache, Made, key_of
from mcp_servers.web.jina_reader import JinaReader
from mcp_servers.web.links import BlockedLinks
from mcp_servers.web.page import Page
from mcp_servers.web.searching.base import ProviderFailed

log = logging.getLogger(__name__)

VERSION = 2
"""Part of every key: what is kept of another version is not understood."""

PAGE_S = 24 * 3600.0
PDF_S = 7 * 24 * 3600.0
NOT_FOUND_S = 600.0
"""How long pages are kept; those that are not there, for less; failures, never."""

RELAYED = frozenset({"blocked", "captcha", "needs_browser", "empty", "http_error", "timeout"})
"""What another reader, elsewhere, may do better with."""

BLOCKED = "This address is on the list of those that are not read here. Use other sources."

_SCHEME = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://|(?:about|blob|data|file|javascript|mailto|tel|view-source):",
    re.IGNORECASE,
)
"""How an address begins that says how to get there: with `host:8080` it is a guess."""

Read = Callable[[bytes, str | None, str, int], Awaitable[Page]]
"""Makes a page of a body, its content type, its address and its HTTP status."""


class Rendering(Protocol):
    """A page after its scripts ran."""

    @property
    def html(self) -> str:
        """Its document."""
        ...

    @property
    def url(self) -> str:
        """Where it came from in the end."""
        ...

    @property
    def status(self) -> int:
        """Its HTTP status."""
        ...

    @property
    def note(self) -> str:
        """What the model should know about it; may be empty."""
        ...


class Renderer(Protocol):
    """A browser."""

    async def render(self, url: str, deadline_s: float) -> Rendering:
        """Return a page after its scripts ran.

        Raises:
            Exception: it cannot be rendered; the text says why.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ways:
    """How pages are had.

    Args:
        fetcher: Fetches.
        read: Reads what was fetched.
        renderer: Renders what scripts make; None where there is no browser.
        relay: Reads elsewhere what cannot be read here; None if it is not set up.
        relay_first: Whether the relay is asked before all else.
    """

    fetcher: Fetcher
    read: Read
    renderer: Renderer | None = None
    relay: JinaReader | None = None
    relay_first: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A page, and how many seconds ago it was read; None if that was now."""

    page: Page
    age_s: float | None = None


class PageReader:
    """Reads pages; what went wrong is the page's `status` and `note`, never an exception.

    Args:
        guard: Says which addresses may be read.
        blocked: Links that nobody gets.
        ways: How pages are had.
        cache: Keeps pages, apart from what is made of them.
        bodies: Bounds what is held in memory.
        policy: What the guard's settings say; part of every key.
        deadline_s: Longest time to read a page, in seconds.
    """

    def __init__(
        self,
        guard: Guard,
        blocked: BlockedLinks,
        ways: Ways,
        cache: Cache,
        bodies: Bodies,
        policy: str,
        deadline_s: float,
    ) -> None:
        self._guard = guard
        self._blocked = blocked
        self._ways = ways
        self._cache = cache
        self._bodies = bodies
        self._policy = policy
        self._deadline_s = deadline_s

    async def read(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        fresh: bool = False,
        deadline_s: float | None = None,
    ) -> Seen:
        """Return a page.

        Args:
            url: A stranger's text.
            headers: To send along. What is read with them is neither kept nor shared.
            fresh: Whether a kept page will not do.
            deadline_s: Seconds that the caller has.
        """
        limit_s = min(deadline_s or self._deadline_s, self._deadline_s)
        try:
            target = self._guard.check(completed(url))
            if self._blocked.blocks(str(target.url)):
                raise Refused(BLOCKED)
        except FetchError as error:
            return Seen(_failed(url, error))
        address = f"{target.url}{_route(url)}"
        with anyio.move_on_after(limit_s):
            if headers:
                return Seen((await self._fresh(address, headers, inner=target.inner))[0])

            async def make() -> Made:
                page, ttl_s = await self._fresh(address, {}, inner=target.inner)
                return Made(asdict(page), ttl_s)

            key = key_of("page", VERSION, self._policy, address)
            kept = await self._cache.get_or_make(key, make, fresh=fresh)
            page = Page(**kept.value)
            # It was kept when the list may have been another one.
            if self._blocked.blocks(page.url):
                return Seen(_failed(address, Refused(BLOCKED)))
            return Seen(page, kept.age_s)
        late = TooSlow(f"The page could not be read within {limit_s:g} s.")
        return Seen(_failed(address, late))

    async def _fresh(
        self, url: str, headers: Mapping[str, str], *, inner: bool
    ) -> tuple[Page, float]:
        """Return a page and for how long it may be kept."""
        may_relay = self._ways.relay is not None and not inner and not headers
        if may_relay and self._ways.relay_first:
            relayed = await self._relayed(url)
            if relayed is not None:
                return relayed, _ttl_s(relayed)
        page, may_keep = await self._fetched(url, headers)
        if page.status == "needs_browser" and self._ways.renderer is not None and not headers:
            page = await self._rendered(self._ways.renderer, page, _route(url))
        if may_relay and not self._ways.relay_first and page.status in RELAYED:
            page = await self._relayed(url) or page
        return page, _ttl_s(page) if may_keep else 0.0

    async def _fetched(self, url: str, headers: Mapping[str, str]) -> tuple[Page, bool]:
        """Return a page as it came, and whether its site lets what is made of it be kept."""
        request = Request(url, headers, max_bytes=self._bodies.max_pdf_bytes)
        try:
            async with Body(self._bodies) as body:
                fetched = await self._ways.fetcher.fetch(request, body.take)
                page = await self._read(body.bytes(), fetched)
        except FetchError as error:
            # The failure itself is not kept; a relay may still bring what can be.
            return _failed(url, error), True
        if self._blocked.blocks(page.url):
            return _failed(url, Refused(BLOCKED)), True
        return page, "no-store" not in fetched.headers.get("cache-control", "").lower()

    async def _read(self, body: bytes, fetched: Fetched) -> Page:
        content_type = fetched.headers.get("content-type")
        return await self._ways.read(body, content_type, fetched.url, fetched.status)

    async def _rendered(self, renderer: Renderer, shell: Page, route: str) -> Page:
        """Return the page that scripts make of a shell; the shell, with the reason, if they do not.

        The browser is told where the shell came from in the end, so it follows no redirect anew.
        """
        try:
            rendered = await renderer.render(f"{shell.url}{route}", self._deadline_s / 2)
            content_type = "text/html; charset=utf-8"
            body = rendered.html.encode("utf-8", "replace")
            page = await self._ways.read(body, content_type, rendered.url, rendered.status)
        except Refused as error:
            return _failed(shell.url, error)
        except FetchError as error:
            return replace(shell, note=f"{shell.note} {error}".strip())
        except Exception as error:
            log.warning("a page could not be rendered: %s", type(error).__name__)
            return replace(shell, note=f"{shell.note} The browser failed on it.".strip())
        if self._blocked.blocks(page.url):
            return _failed(shell.url, Refused(BLOCKED))
        return replace(page, note=f"{page.note} {rendered.note}".strip())

    async def _relayed(self, url: str) -> Page | None:
        """Return a page as the relay read it; None if it did not, or may not."""
        assert self._ways.relay is not None
        try:
            # The relay looks names up by itself; ours must be public all the same.
            await self._guard.admit(url)
            page = await self._ways.relay.read(url, self._deadline_s / 2)
        except (FetchError, ProviderFailed) as error:
            log.warning("Jina's Reader did not read a page: %s", error)
            return None
        if page.status != "ok" or self._blocked.blocks(page.url):
            return None
        return page


def completed(url: str) -> str:
    """Return a URL with the scheme that people leave out."""
    stripped = url.strip()
    return stripped if _SCHEME.match(stripped) else f"https://{stripped}"


def _route(url: str) -> str:
    """Return the fragment of a URL if it may choose a page, with `#`; else nothing.

    By those that begin so scripts choose what they show; all others name a place in a page.
    """
    fragment = url.strip().partition("#")[2]
    return f"#{fragment}" if fragment.startswith(("/", "!")) else ""


def _failed(url: str, error: FetchError) -> Page:
    status = error.kind if error.kind in ("refused_by_policy", "timeout") else "http_error"
    return Page(
        url=url,
        title="",
        markdown="",
        kind="unknown",
        status=status,
        note=str(error),
        author=None,
        date=None,
    )


def _ttl_s(page: Page) -> float:
    match page.status:
        case "ok":
            return PDF_S if page.kind == "pdf" else PAGE_S
        case "not_found":
            return NOT_FOUND_S
    return 0.0
