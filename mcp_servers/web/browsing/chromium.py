"""One run of Chromium: started by Playwright under a keeper of ours, and ended for certain."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from mcp_servers.web.browsing import keeper, launcher
from mcp_servers.web.browsing.errors import NoBrowser

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

NODE = "PLAYWRIGHT_NODEJS_PATH"
START_S = 20.0
END_S = 5.0

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
        home: The folder that the keeper deletes when nothing is left.
        life: The descriptor whose end ends everything.
    """

    def __init__(self, browser: Browser, playwright: Playwright, home: Path, life: int) -> None:
        self.browser = browser
        self._playwright = playwright
        self._home = home
        self._life = life

    @classmethod
    async def start(cls, executable: str, proxy: str, memory_bytes: int) -> Chromium:
        """Start one whose only way out is `proxy`.

        Raises:
            NoBrowser: it does not start.
        """
        home = _home(executable, memory_bytes)
        life = os.open(home / keeper.LIFE, os.O_RDWR)
        try:
            with anyio.fail_after(START_S):
                playwright = await _driver(home)
                browser = await playwright.chromium.launch(
                    executable_path=home / "chromium",
                    args=ARGUMENTS,
                    ignore_default_args=NOT_THESE,
                    proxy={"server": proxy},
                    chromium_sandbox=True,
                    timeout=START_S * 1000,
                )
        except Exception as error:
            await _gone(home, life)
            reason = str(error).strip().splitlines()[:1]
            raise NoBrowser(f"The browser does not start. {''.join(reason)[:200]}") from None
        except BaseException:
            with anyio.CancelScope(shield=True):
                await _gone(home, life)
            raise
        return cls(browser, playwright, home, life)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.browser.is_connected()

    async def end(self) -> None:
        """End it and all it started; return when nothing is left."""
        from playwright.async_api import Error

        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(END_S):
                try:
                    await self.browser.close()
                    await self._playwright.stop()
                except Error:
                    pass
            await _gone(self._home, self._life)


async def _driver(home: Path) -> Playwright:
    """Start Playwright's driver with our keeper in the place of Node.js.

    Playwright takes the path from a variable, and reads it before it first lets others run.
    """
    # Only here: a server that never renders does without it.
    from playwright.async_api import async_playwright

    before = os.environ.get(NODE)
    os.environ[NODE] = str(home / "node")
    try:
        started: Playwright = await async_playwright().start()
    finally:
        if before is None:
            del os.environ[NODE]
        else:
            os.environ[NODE] = before
    return started


def _home(executable: str, memory_bytes: int) -> Path:
    """Make the folder of a run: its pipe, a place for temporary files, two programs."""
    home = Path(tempfile.mkdtemp(prefix="agentdock-browser-"))
    home.chmod(0o711)
    (home / "tmp").mkdir(0o700)
    os.mkfifo(home / keeper.LIFE, 0o600)
    _write(home / "node", keeper.__file__, str(home), str(memory_bytes))
    _write(home / "chromium", launcher.__file__, executable)
    return home


def _write(path: Path, *command: str) -> None:
    words = shlex.join([sys.executable, "-I", "-S", *command])
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o700)


async def _gone(home: Path, life: int) -> None:
    """Let go of the keeper and wait until it has ended everything and deleted the folder."""
    os.close(life)
    folder = anyio.Path(home)
    with anyio.move_on_after(END_S):
        while await folder.exists():  # noqa: ASYNC110 (who deletes it is another process)
            await anyio.sleep(0.02)
