"""Renders pages: starts Chromium at the first one and ends it when none has come for a while."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio
import anyio.abc

from mcp_servers.fetching.errors import TooSlow
from mcp_servers.fetching.guard import Guard, Target
from mcp_servers.web.browsing.allowance import Allowance
from mcp_servers.web.browsing.chromium import Chromium
from mcp_servers.web.browsing.errors import NoBrowser, PageCrashed
from mcp_servers.web.browsing.proxy import PinningProxy
from mcp_servers.web.browsing.rendering import CannotClose, Rendered, fresh_context, rendered
from mcp_servers.web.browsing.settings import BrowserSettings
from mcp_servers.web.browsing.visit import Visit

log = logging.getLogger(__name__)

Introduce = Callable[[Target], Awaitable[None]]


class Browser:
    """A browser for a whole process; no process of it outlives it.

    Args:
        settings: Limits, and where Chromium is.
        guard: Judges every host that a page reaches for.
        proxy: The way out, which the browser opens and closes.
        user_agent: How it introduces itself to web sites.
        introduce: Returns when a document may be asked for: a turn at its host has come, and
            robots.txt was obeyed if that is set; it raises FetchError where it may not. None
            where nobody minds.
    """

    def __init__(
        self,
        settings: BrowserSettings,
        guard: Guard,
        proxy: PinningProxy,
        user_agent: str,
        introduce: Introduce | None = None,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._proxy = proxy
        self._user_agent = user_agent
        self._introduce = introduce
        self._executable = settings.found()
        self._places = anyio.Semaphore(settings.pages)
        self._changing = anyio.Lock()
        self._chromium: Chromium | None = None
        self._pages = 0
        self._warned = False
        self._idle_since = 0.0
        self._rest = anyio.Event()
        self._stack = AsyncExitStack()
        self._tasks: anyio.abc.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        """Open the way out; no process is started yet."""
        await self._stack.enter_async_context(self._proxy)
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._tasks.start_soon(self._end_when_idle)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the browser, whatever it does."""
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._end()
        await self._stack.aclose()

    def available(self) -> bool:
        """Whether pages can be rendered here: Chromium and Playwright are installed."""
        return self._executable is not None and bool(importlib.util.find_spec("playwright"))

    async def render(self, url: str, deadline_s: float) -> Rendered:
        """Return a page as it is after its scripts have run.

        Args:
            url: A stranger's text; it may be anything.
            deadline_s: Seconds for everything, waiting for a place included.

        Raises:
            NoBrowser: there is none here.
            FetchError: the page cannot be had; the message is for the model.
        """
        if self._executable is None or not self.available():
            raise NoBrowser("This page needs a browser, and there is none here.")
        until = anyio.current_time() + deadline_s
        with anyio.move_on_after(deadline_s):
            target = await self._guard.admit(url)
            if self._introduce is not None:
                await self._introduce(target)
            async with self._places:
                return await self._render(target, url.partition("#")[2], until, self._executable)
        raise TooSlow(f"The browser did not show the page within {deadline_s:g} s.")

    async def _render(
        self, target: Target, fragment: str, until: float, executable: str
    ) -> Rendered:
        self._pages += 1
        try:
            chromium = await self._started(executable)
            own = (target.host, target.port) if target.inner else None
            allowance = Allowance(self._settings.page_bytes, self._settings.page_requests, own)
            with self._proxy.serving(allowance):
                context = fresh_context(
                    chromium.browser, allowance, self._proxy.url, self._user_agent
                )
                async with context as fresh:
                    left_s = max(0.1, until - anyio.current_time())
                    chars = self._settings.dom_chars
                    visit = Visit(allowance, str(target.url), self._permit, fragment)
                    return await rendered(fresh, visit, left_s, chars)
        except CannotClose:
            with anyio.CancelScope(shield=True):
                await self._end(chromium)
            raise PageCrashed("The page did not let go of the browser.") from None
        finally:
            self._pages -= 1
            self._idle_since = anyio.current_time()
            self._rest.set()

    async def _permit(self, url: str, *, named: bool) -> None:
        """Return when a page may go on to another document; see `Guard.admit` for `named`."""
        target = self._guard.check(url, named=named)
        if self._introduce is not None:
            await self._introduce(target)

    async def _started(self, executable: str) -> Chromium:
        """Return the browser that runs, else a new one."""
        async with self._changing:
            if self._chromium is not None and not self._chromium.alive:
                broken, self._chromium = self._chromium, None
                await broken.end()
            if self._chromium is None:
                self._chromium = await Chromium.start(
                    executable, self._proxy.url, self._settings.memory_bytes
                )
                self._tell(self._chromium)
            return self._chromium

    def _tell(self, chromium: Chromium) -> None:
        """Say how it runs: once aloud, if it has no sandbox."""
        if chromium.bare and not self._warned:
            self._warned = True
            log.warning(
                "The browser runs %s: this kernel gives that user no namespaces. What a page makes"
                " of a fault in it, that user can do (docs/security.md, The browser).",
                chromium.standing,
            )
        else:
            log.info("The browser runs %s.", chromium.standing)

    async def _end(self, which: Chromium | None = None) -> None:
        """End the browser; given one, only if it still is that one."""
        async with self._changing:
            running = self._chromium
            if running is not None and which in (None, running):
                self._chromium = None
                await running.end()

    async def _end_when_idle(self) -> None:
        while True:
            await self._rest.wait()
            self._rest = anyio.Event()
            while self._chromium is not None and not self._pages:
                left_s = self._idle_since + self._settings.idle_s - anyio.current_time()
                if left_s <= 0:
                    await self._end_if_idle()
                    break
                await anyio.sleep(left_s)

    async def _end_if_idle(self) -> None:
        """End the browser unless a page came meanwhile; one that comes now waits for the end."""
        async with self._changing:
            if self._chromium is not None and not self._pages:
                running, self._chromium = self._chromium, None
                await running.end()
