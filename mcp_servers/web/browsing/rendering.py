"""One page in the browser, from its address to its HTML."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from mcp_servers.fetching.errors import TooSlow
from mcp_servers.web.browsing.allowance import Allowance
from mcp_servers.web.browsing.errors import PageCrashed
from mcp_servers.web.browsing.visit import Visit

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

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
    context: BrowserContext, visit: Visit, deadline_s: float, dom_chars: int
) -> Rendered:
    """Return a page as it is when it has come to rest, or as far as it came in time.

    Args:
        context: A fresh one, for this page alone.
        visit: Where it goes, and what it may load.
        deadline_s: Seconds for everything.
        dom_chars: Most characters of HTML.

    Raises:
        FetchError: there is none; the message is for the model.
    """
    from playwright.async_api import Error

    until = anyio.current_time() + deadline_s
    try:
        with anyio.move_on_after(deadline_s):
            page = await visit.open(context)
            notes = await visit.load(page, until)
            await visit.confirm()
            html, cut = await _html(context, page, dom_chars)
            if visit.failed(page):
                html, cut = "", False
            notes += [f"It is longer than {dom_chars} characters; the rest was cut."] * cut
            notes += [visit.exceeded] * bool(visit.exceeded)
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
