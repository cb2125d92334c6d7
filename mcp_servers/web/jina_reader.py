"""Jina's Reader (https://jina.ai/reader): reads a page for us, from elsewhere, with a browser."""

from __future__ import annotations

import re

from pydantic import SecretStr

from mcp_servers.web.page import Page, one_line
from mcp_servers.web.searching.base import Unavailable
from mcp_servers.web.searching.endpoint import Endpoints, failure

_WALL = re.compile(r"captcha|returned error (?:401|403|429|5\d\d)", re.IGNORECASE)
"""What Jina's Reader warns of when it read a wall, and not the page."""


class JinaReader:
    """Reads public pages; the address is all that it is told.

    Args:
        endpoints: How to ask.
        base_url: Where it is.
        key: Our key.
    """

    def __init__(self, endpoints: Endpoints, base_url: str, key: SecretStr) -> None:
        self._endpoints = endpoints
        self._url = f"{base_url.rstrip('/')}/"
        self._key = key

    async def read(self, url: str, deadline_s: float) -> Page:
        """Return the page as it was read there.

        Raises:
            ProviderFailed: it was not read.
        """
        headers = {
            "Authorization": f"Bearer {self._key.get_secret_value()}",
            "X-Timeout": f"{max(1, min(int(deadline_s) - 1, 60))}",
        }
        reply = await self._endpoints.ask(
            "POST", self._url, headers=headers, json={"url": url}, deadline_s=deadline_s
        )
        said = reply.said if isinstance(reply.said, dict) else {}
        if reply.status != 200:
            raise failure(reply, str(said.get("readableMessage") or said.get("message") or ""))
        data = said.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("content"), str):
            raise Unavailable("its answer holds no page")
        markdown = data["content"].strip()
        warning = str(data.get("warning") or "")
        if _WALL.search(warning):
            status = "captcha" if "captcha" in warning.lower() else "blocked"
            note = f"The relay did not get the page itself: {one_line(warning)}"
            return Page(str(data.get("url") or url), "", "", "html", status, note)
        date = data.get("publishedTime")
        return Page(
            url=str(data.get("url") or url),
            title=str(data.get("title") or ""),
            markdown=markdown,
            kind="html",
            status="ok" if markdown else "empty",
            note="" if markdown else "The page holds no text.",
            author=None,
            date=date if isinstance(date, str) else None,
        ).tidy()
