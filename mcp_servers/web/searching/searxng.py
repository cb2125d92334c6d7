"""SearXNG: a search engine of one's own. Its settings must list `json` under `search.formats`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcp_servers.web.searching.base import Found, KeyRefused, Query, Unavailable
from mcp_servers.web.searching.endpoint import Endpoints, failure
from mcp_servers.web.searching.shape import organic, plain, result


class Searxng:
    """See Provider.

    Args:
        endpoints: How to ask.
        base_url: Where it is.
    """

    name = "searxng"

    def __init__(self, endpoints: Endpoints, base_url: str) -> None:
        self._endpoints = endpoints
        self._url = f"{base_url.rstrip('/')}/search"

    async def search(self, query: Query) -> Found:
        """See Provider."""
        found = await self._ask(query)
        if found.payload["organic"] or query.freshness is None:
            return found
        # Engines that know no time filter say nothing at all when they are given one.
        again = await self._ask(replace(query, tbs=None))
        return Found(again.payload, "Nothing that new was found; the time limit was left out.")

    async def _ask(self, query: Query) -> Found:
        params: dict[str, Any] = {
            "q": query.q,
            "format": "json",
            "language": query.hl,
            "pageno": query.page,
        }
        if query.freshness is not None:
            params["time_range"] = "day" if query.freshness == "hour" else query.freshness
        reply = await self._endpoints.ask("GET", self._url, params=params)
        if reply.status == 403:
            raise KeyRefused("it refuses JSON: its settings must list json under search.formats")
        if reply.status != 200:
            raise failure(reply)
        said = reply.said
        if not isinstance(said, dict) or not isinstance(said.get("results"), list):
            raise Unavailable("its answer holds no search result")
        if not said["results"] and (silent := said.get("unresponsive_engines")):
            raise Unavailable(f"none of its engines answered ({_names(silent)})")
        return Found(_payload(query, said))


def _payload(query: Query, said: dict[str, Any]) -> dict[str, Any]:
    found = [
        result(it.get("title"), it.get("url"), it.get("content"), it.get("publishedDate"))
        for it in said["results"]
        if isinstance(it, dict)
    ]
    payload: dict[str, Any] = {
        "searchParameters": query.parameters(),
        "organic": organic(found, query.num),
    }
    answers = [it.get("answer") if isinstance(it, dict) else it for it in said.get("answers") or []]
    if texts := [text for text in map(plain, answers) if text]:
        payload["answerBox"] = {"answer": texts[0]}
    boxes = [it for it in said.get("infoboxes") or [] if isinstance(it, dict)]
    if boxes:
        box = boxes[0]
        payload["knowledgeGraph"] = {
            "title": plain(box.get("infobox")),
            "description": plain(box.get("content")),
        }
    related = [text for text in map(plain, said.get("suggestions") or []) if text]
    if related:
        payload["relatedSearches"] = [{"query": text} for text in related]
    return payload


def _names(engines: Any) -> str:
    names = [str(it[0] if isinstance(it, list) and it else it) for it in engines]
    return ", ".join(names)[:200]
