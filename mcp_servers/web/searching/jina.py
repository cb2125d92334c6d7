"""Jina's search (https://s.jina.ai), without the pages' content."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from mcp_servers.web.searching.base import Found, Query, RateLimited, Unavailable
from mcp_servers.web.searching.endpoint import Endpoints, failure
from mcp_servers.web.searching.shape import organic, result

NOTHING_FOUND = 42206
"""What it says, as a failure, when there are no results."""


class Jina:
    """See Provider.

    Args:
        endpoints: How to ask.
        base_url: Where it is.
        key: Our key.
    """

    name = "jina"

    def __init__(self, endpoints: Endpoints, base_url: str, key: SecretStr) -> None:
        self._endpoints = endpoints
        self._url = f"{base_url.rstrip('/')}/"
        self._key = key

    async def search(self, query: Query) -> Found:
        """See Provider."""
        body: dict[str, Any] = {
            "q": query.q,
            "gl": query.gl,
            "hl": query.hl,
            "num": query.num,
            "page": query.page,
        }
        if query.location is not None:
            body["location"] = query.location
        headers = {
            "Authorization": f"Bearer {self._key.get_secret_value()}",
            "X-Respond-With": "no-content",
        }
        reply = await self._endpoints.ask("POST", self._url, headers=headers, json=body)
        said = reply.said if isinstance(reply.said, dict) else {}
        empty = reply.status == 422 and said.get("status") == NOTHING_FOUND
        if reply.status == 429:
            asked_s = said.get("retryAfter")
            wait_s = asked_s if isinstance(asked_s, int | float) else reply.retry_after_s
            raise RateLimited("HTTP status 429", wait_s)
        if reply.status != 200 and not empty:
            raise failure(reply, str(said.get("readableMessage") or said.get("message") or ""))
        data = [] if empty else said.get("data")
        if not isinstance(data, list):
            raise Unavailable("its answer holds no search result")
        found = [
            result(it.get("title"), it.get("url"), it.get("description"), it.get("date"))
            for it in data
            if isinstance(it, dict)
        ]
        late = "Its results know no time limit." if query.tbs else ""
        return Found(
            {"searchParameters": query.parameters(), "organic": organic(found, query.num)}, late
        )
