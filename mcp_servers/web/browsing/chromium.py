"""One run of Chromium: started by Playwright under a keeper of ours, and ended for certain."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import anyio

from mcp_servers.web.browsing import launcher
from mcp_servers.web.browsing.errors import NoBrowser
from mcp_servers.web.browsing.home import Home

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

log = logging.getLogger(__name__)

NODE = "PLAYWRIGHT_NODEJS_PATH"
START_S = 20.0
CLOSE_S = 5.0

ARGUMENTS = (
    # No byte goes anywhere but to the proxy: no name is looked up, no UDP is spoken.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--disable-quic",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--no-pings",
    "--disable-domain-reliability",
    "--disable-notifications",
    "--disable-remote-fonts",
    "--disable-gpu",
    "--disable-3d-apis",
    "--autoplay-policy=user-gesture-required",
    "--renderer-process-limit=16",
    "--js-flags=--max-old-space-size=512",
)

NOT_THESE = ("--disable-popup-blocking", "--disable-ipc-flooding-protection")
"""What Playwright sets for tests of pages that one trusts."""


class Chromium:
    """A running browser.

    Args:
        browser: It, as Playwright knows it.
        playwright: What started it.
        home: Its folder, whose end ends everything.
    """

    def __init__(self, browser: Browser, playwright: Playwright, home: Home) -> None:
        self.browser = browser
        self.standing = home.standing()
        self._playwright = playwright
        self._home = home

    @classmethod
    async def start(cls, executable: str, proxy: str, memory_bytes: int) -> Chromium:
        """Start one whose only way out is `proxy`.

        Raises:
            NoBrowser: it does not start.
        """
        home = Home(executable, memory_bytes)
        try:
            with anyio.fail_after(START_S):
                playwright = await _driver(str(home.node))
                browser = await playwright.chromium.launch(
                    executable_path=home.chromium,
                    args=ARGUMENTS,
                    ignore_default_args=NOT_THESE,
                    proxy={"server": proxy},
                    chromium_sandbox=True,
                    timeout=START_S * 1000,
                )
        except Exception as error:
            await home.gone()
            log.warning("The browser does not start: %s", error)
            raise NoBrowser("The browser does not start; the log says why.") from None
        except BaseException:
            with anyio.CancelScope(shield=True):
                await home.gone()
            raise
        return cls(browser, playwright, home)

    @property
    def bare(self) -> bool:
        """Whether it runs without its own sandbox."""
        return self.standing.endswith(launcher.BARE)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.browser.is_connected()

    async def end(self) -> None:
        """End it and all it started; return when nothing is left."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(CLOSE_S):
                try:
                    await self.browser.close()
                    await self._playwright.stop()
                except Exception:  # whatever it was that broke: the keeper ends it
                    pass
            await self._home.gone()


async def _driver(node: str) -> Playwright:
    """Start Playwright's driver with our keeper in the place of Node.js.

    Playwright takes the path from a variable, and reads it before it first lets others run.
    """
    # Only here: a server that never renders does without it.
    from playwright.async_api import async_playwright

    before = os.environ.get(NODE)
    os.environ[NODE] = node
    try:
        started: Playwright = await async_playwright().start()
    finally:
        if before is None:
            del os.environ[NODE]
        else:
            os.environ[NODE] = before
    return started
