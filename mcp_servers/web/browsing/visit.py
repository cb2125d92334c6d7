"""What one visit to a page asks for: its documents, one after the other, and all they load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import anyio

from mcp_servers.fetching.errors import (
    BrokenAnswer,
    FetchError,
    TooManyRedirects,
    Unreachable,
)
from mcp_servers.web.browsing.allowance import Allowance
from mcp_servers.web.browsing.errors import IsDownload, PageCrashed
from mcp_servers.web.browsing.message import place

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Request, Response, Route

UNSEEN = frozenset({"image", "media", "font", "texttrack", "manifest"})
"""Kinds of requests that add no text to a page."""

SETTLE_S = 5.0
LOAD_SHARE = 0.7


class Permit(Protocol):
    """Says whether a page may go on to another document."""

    async def __call__(self, url: str, *, named: bool) -> None:
        """Return when it may; see `Guard.admit` for `named`.

        Raises:
            FetchError: it may not.
        """
        ...


class Visit:
    """Where a page's document comes from, however often it moves on.

    Args:
        allowance: What the page may load, and what was refused to it.
        url: Where it begins; that has been permitted.
        permit: Asked for every other document.
        fragment: By what the page's scripts may choose what they show; no server gets it.
    """

    def __init__(self, allowance: Allowance, url: str, permit: Permit, fragment: str = "") -> None:
        self._allowance = allowance
        self._asked = url
        self._begins = f"{url}#{fragment}" if fragment else url
        self._permit = permit
        self._permitted = {url}
        self._answer: Response | None = None

    async def open(self, context: BrowserContext) -> Page:
        """Open the page; its requests are judged, and its windows close as they open."""

        async def judge(route: Route) -> None:
            from playwright.async_api import Error

            try:
                if await self._may(route.request, page):
                    await route.continue_()
                else:
                    await route.abort("blockedbyclient")
            except Error:  # the page is gone
                return

        async def close(opened: Page) -> None:
            from playwright.async_api import Error

            try:
                await opened.close()
            except Error:
                return

        await context.route("**/*", judge)
        page = await context.new_page()
        context.on("page", close)
        # Redirects are judged by the proxy alone, and known only here. What a page asks for that
        # came by one is asked for later.
        context.on("request", self._watch)
        return page

    async def _may(self, request: Request, page: Page) -> bool:
        """Count a request; return whether it may be made."""
        if request.resource_type in UNSEEN or not self._allowance.request():
            return False
        if not request.is_navigation_request():
            return True
        if request.frame != page.main_frame:
            # What is framed adds no text; on an inner page it could ask for more in its name.
            return not (self._allowance.own and self._leaves(request))
        try:
            await self._permitted_to(request.url)
        except FetchError as error:
            self._allowance.refuse(_host(request.url), error)
            return False
        self._watch(request)
        return True

    async def _permitted_to(self, url: str) -> None:
        if url not in self._permitted:
            named = self._allowance.own is not None and place(url) == self._allowance.own
            await self._permit(url, named=named)
            self._permitted.add(url)

    def _leaves(self, request: Request) -> bool:
        return request.is_navigation_request() and place(request.url) != self._allowance.own

    def _watch(self, request: Request) -> None:
        if self._allowance.own and self._leaves(request):
            self._allowance.leave()

    async def confirm(self) -> None:
        """Return if the document may be shown that redirects led to.

        Raises:
            FetchError: it may not.
        """
        await self._permitted_to(self._asked)

    async def load(self, page: Page, until: float) -> list[str]:
        """Load the page and let it come to rest; return what is to be said about it."""
        from playwright.async_api import TimeoutError as Late

        def ask(request: Request) -> None:
            if request.is_navigation_request() and request.frame == page.main_frame:
                self._asked, self._answer = request.url, None

        def answer(response: Response) -> None:
            if response.url == self._asked and response.request.is_navigation_request():
                self._answer = response

        page.on("request", ask)
        page.on("response", answer)
        try:
            left_s = until - anyio.current_time()
            await page.goto(
                self._begins, wait_until="domcontentloaded", timeout=left_s * LOAD_SHARE * 1000
            )
            left_s = min(SETTLE_S, (until - anyio.current_time()) * LOAD_SHARE)
            await page.wait_for_load_state("networkidle", timeout=max(1.0, left_s * 1000))
        except Late:
            return ["The page was still loading when it was read."]
        return []

    @property
    def exceeded(self) -> str:
        """What of its allowance the page used up, in words; empty if nothing."""
        return self._allowance.exceeded

    @property
    def status(self) -> int:
        """The HTTP status of the document."""
        return self._answer.status if self._answer else 200

    def address(self, page: Page) -> str:
        """Return where the document is from."""
        shown = page.url
        return shown if shown.startswith(("http://", "https://")) else self._asked

    def failed(self, page: Page) -> bool:
        """Whether the browser shows a page of its own, since the server sent nothing to show.

        Raises:
            FetchError: nothing came at all, or what came is from our proxy.
        """
        refused = self._refused()
        if refused is not None and (self._answer is None or self.status in (403, 502)):
            raise refused
        failed = page.url.startswith("chrome-error:")
        if failed and self._answer is None:
            raise Unreachable("The page led to an address that the browser could not open.")
        return failed

    def explained(self, error: Exception) -> FetchError:
        """Return what a failure of the browser means, without the browser's own words."""
        text = str(error)
        refused = self._refused()
        if refused is not None:
            return refused
        if "Download is starting" in text:
            return IsDownload("The address gives a file to download, not a page.")
        if "crashed" in text or "closed" in text or "Connection" in text:
            return PageCrashed("The page broke the browser down, or needed too much memory.")
        if "ERR_CERT" in text or "ERR_SSL" in text:
            return Unreachable("The server has no valid certificate for its name.")
        if "ERR_TOO_MANY_REDIRECTS" in text:
            return TooManyRedirects("The server does not stop redirecting.")
        return BrokenAnswer("The browser could not load the page.")

    def _refused(self) -> FetchError | None:
        return self._allowance.refused.get(_host(self._asked))


def _host(url: str) -> str:
    """Return host and port as the proxy is asked for them: the default port only for https."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.port is None:
        return f"{parts.netloc.lower()}:443"
    return parts.netloc.lower()
