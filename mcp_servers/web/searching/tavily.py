"""Tavily (https://tavily.com)."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from mcp_servers.web.searching.base import Found, Query, Unavailable
from mcp_servers.web.searching.endpoint import Endpoints, Reply, failure
from mcp_servers.web.searching.shape import organic, plain, result

MOST = 20


class Tavily:
    """See Provider. It knows no pages: the later ones are cut out of one long answer.

    Args:
        endpoints: How to ask.
        base_url: Where it is.
        key: Our key.
    """

    name = "tavily"

    def __init__(self, endpoints: Endpoints, base_url: str, key: SecretStr) -> None:
        self._endpoints = endpoints
        self._url = f"{base_url.rstrip('/')}/search"
        self._key = key

    async def search(self, query: Query) -> Found:
        """See Provider."""
        first = (query.page - 1) * query.num
        if first >= MOST:
            return Found({"organic": [], "searchParameters": query.parameters()})
        body: dict[str, Any] = {
            "query": query.q,
            "max_results": min(first + query.num, MOST),
            "search_depth": "basic",
        }
        if query.freshness is not None:
            body["time_range"] = "day" if query.freshness == "hour" else query.freshness
        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}"}
        reply = await self._endpoints.ask("POST", self._url, headers=headers, json=body)
        if reply.status != 200:
            raise failure(reply, _message(reply))
        said = reply.said
        if not isinstance(said, dict) or not isinstance(said.get("results"), list):
            raise Unavailable("its answer holds no search result")
        found = [
            result(it.get("title"), it.get("url"), it.get("content"), it.get("published_date"))
            for it in said["results"]
            if isinstance(it, dict)
        ]
        payload: dict[str, Any] = {
            "searchParameters": query.parameters(),
            "organic": organic(found[first:], query.num),
        }
        if answer := plain(said.get("answer")):
            payload["answerBox"] = {"answer": answer}
        return Found(payload)


def _message(reply: Reply) -> str:
    detail = reply.said.get("detail") if isinstance(reply.said, dict) else None
    return str(detail.get("error", "")) if isinstance(detail, dict) else str(detail or "")
