"""One page in the browser, from its address to its HTML."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from mcp_servers.fetching.errors import (
    BrokenAnswer,
    FetchError,
    TooManyRedirects,
    TooSlow,
    Unreachable,
)
from mcp_servers.web.browsing.allowance import Allowance
from mcp_servers.web.browsing.errors import IsDownload, PageCrashed
from mcp_servers.web.browsing.message import place

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Request, Response, Route

UNSEEN = frozenset({"image", "media", "font", "texttrack", "manifest"})
"""Kinds of requests that add no text to a page."""

SETTLE_S = 5.0
LOAD_SHARE = 0.7
CLOSE_S = 3.0
_HTML = """(() => {
  const root = document.documentElement;
  const html = root ? root.outerHTML : "";
  return {html: html.slice(0, %d), cut: html.length > %d};
})()"""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page as a browser shows it.

    Args:
        html: The document after its scripts have run.
        url: Where it ended up.
        status: The HTTP status of the document.
        note: Sentences for the model on what is missing; empty if nothing is.
    """

    html: str
    url: str
    status: int
    note: str = ""


class CannotClose(Exception):
    """A page does not let go of the browser."""


async def rendered(
    context: BrowserContext, allowance: Allowance, url: str, deadline_s: float, dom_chars: int
) -> Rendered:
    """Return a page as it is when it has come to rest, or as far as it came in time.

    Args:
        context: A fresh one, for this page alone.
        allowance: What the page may load.
        url: One that the guard has admitted.
        deadline_s: Seconds for everything.
        dom_chars: Most characters of HTML.

    Raises:
        FetchError: there is none; the message is for the model.
    """
    from playwright.async_api import Error

    until = anyio.current_time() + deadline_s
    visit = _Visit(allowance, url)
    try:
        with anyio.move_on_after(deadline_s):
            page = await _page(context, allowance)
            notes = await visit.load(page, until)
            html, cut = await _html(context, page, dom_chars)
            if visit.failed(page):
                html, cut = "", False
            notes += [f"It is longer than {dom_chars} characters; the rest was cut."] * cut
            notes += [allowance.exceeded] * bool(allowance.exceeded)
            return Rendered(html, visit.address(page), visit.status, " ".join(notes))
    except Error as error:
        raise visit.explained(error) from None
    raise TooSlow(f"The page did not come to rest in the browser within {deadline_s:g} s.")


@asynccontextmanager
async def fresh_context(
    browser: Browser, allowance: Allowance, proxy: str, user_agent: str
) -> AsyncIterator[BrowserContext]:
    """Give a context that shares nothing with others, and end all of its pages behind it.

    Raises:
        CannotClose: its pages do not end; only the end of the browser ends them.
        PageCrashed: the browser has ended.
    """
    from playwright.async_api import Error

    try:
        context = await browser.new_context(
            proxy={"server": proxy, "username": allowance.name, "password": allowance.password},
            user_agent=user_agent,
            accept_downloads=False,
            service_workers="block",
        )
    except Error:
        raise PageCrashed("The browser ended; try again.") from None
    try:
        yield context
    finally:
        with anyio.CancelScope(shield=True):
            closed = False
            with anyio.move_on_after(CLOSE_S):
                try:
                    await context.close()
                    closed = True
                except Error:
                    closed = not browser.is_connected()
            if not closed:
                raise CannotClose


async def _page(context: BrowserContext, allowance: Allowance) -> Page:
    """Open a page whose requests are counted, and whose windows close as they open."""

    def leaves(request: Request) -> bool:
        return request.is_navigation_request() and place(request.url) != allowance.own

    def watch(request: Request) -> None:
        # Redirects come only here. What follows one is asked for later, and is refused then.
        if allowance.own and leaves(request):
            allowance.leave()

    async def judge(route: Route) -> None:
        from playwright.async_api import Error

        request = route.request
        try:
            # What is framed adds no text either; on an inner page it could ask in its name.
            framed = allowance.own and leaves(request) and request.frame != page.main_frame
            if request.resource_type in UNSEEN or framed or not allowance.request():
                await route.abort("blockedbyclient")
            else:
                watch(request)
                await route.continue_()
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
    context.on("request", watch)
    return page


class _Visit:
    """Where a page's document comes from, however often it moves on.

    Args:
        allowance: What the page may load, and what was refused to it.
        url: Where it begins.
    """

    def __init__(self, allowance: Allowance, url: str) -> None:
        self._allowance = allowance
        self._asked = url
        self._answer: Response | None = None

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
                self._asked, wait_until="domcontentloaded", timeout=left_s * LOAD_SHARE * 1000
            )
            left_s = min(SETTLE_S, (until - anyio.current_time()) * LOAD_SHARE)
            await page.wait_for_load_state("networkidle", timeout=max(1.0, left_s * 1000))
        except Late:
            return ["The page was still loading when it was read."]
        return []

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


async def _html(context: BrowserContext, page: Page, dom_chars: int) -> tuple[str, bool]:
    """Return a page's HTML, from a world of scripts that the page's own cannot reach."""
    session = await context.new_cdp_session(page)
    tree: dict[str, Any] = await session.send("Page.getFrameTree")
    frame = tree["frameTree"]["frame"]["id"]
    world: dict[str, Any] = await session.send("Page.createIsolatedWorld", {"frameId": frame})
    answer: dict[str, Any] = await session.send(
        "Runtime.evaluate",
        {
            "expression": _HTML % (dom_chars, dom_chars),
            "contextId": world["executionContextId"],
            "returnByValue": True,
        },
    )
    value = answer["result"].get("value") or {"html": "", "cut": False}
    return str(value["html"]), bool(value["cut"])


def _host(url: str) -> str:
    """Return host and port as the proxy is asked for them: the default port only for https."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.port is None:
        return f"{parts.netloc.lower()}:443"
    return parts.netloc.lower()
