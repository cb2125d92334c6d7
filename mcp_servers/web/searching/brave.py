"""Brave Search (https://api.search.brave.com)."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from mcp_servers.web.searching.base import (
    Found,
    KeyRefused,
    ProviderFailed,
    Query,
    QuotaSpent,
    Unavailable,
)
from mcp_servers.web.searching.endpoint import Endpoints, Reply, failure
from mcp_servers.web.searching.shape import organic, plain, result

MOST = 20
PAGES = 10
_FRESHNESS = {"hour": "pd", "day": "pd", "week": "pw", "month": "pm", "year": "py"}
_LANGUAGES = {"zh": "zh-hans", "zh-cn": "zh-hans", "zh-tw": "zh-hant", "ja": "jp", "pt": "pt-br"}
"""Languages that it names in its own way."""


class Brave:
    """See Provider.

    Args:
        endpoints: How to ask.
        base_url: Where it is.
        key: Our key.
    """

    name = "brave"

    def __init__(self, endpoints: Endpoints, base_url: str, key: SecretStr) -> None:
        self._endpoints = endpoints
        self._url = f"{base_url.rstrip('/')}/res/v1/web/search"
        self._key = key

    async def search(self, query: Query) -> Found:
        """See Provider."""
        if query.page > PAGES:
            return Found({"organic": [], "searchParameters": query.parameters()})
        language = query.hl.lower()
        params: dict[str, Any] = {
            "q": query.q,
            "count": min(query.num, MOST),
            "offset": query.page - 1,
            "country": query.gl.upper(),
            "search_lang": _LANGUAGES.get(language, language.partition("-")[0]),
        }
        if query.freshness is not None:
            params["freshness"] = _FRESHNESS[query.freshness]
        if query.autocorrect is not None:
            params["spellcheck"] = query.autocorrect
        headers = {"X-Subscription-Token": self._key.get_secret_value()}
        reply = await self._endpoints.ask("GET", self._url, headers=headers, params=params)
        if reply.status != 200:
            raise _failure(reply)
        if not isinstance(reply.said, dict) or reply.said.get("type") != "search":
            raise Unavailable("its answer holds no search result")
        return Found(_payload(query, reply.said))


def _payload(query: Query, said: dict[str, Any]) -> dict[str, Any]:
    found = [
        result(
            it.get("title"), it.get("url"), it.get("description"), it.get("age"), **_sitelinks(it)
        )
        for it in _results(said, "web")
    ]
    payload: dict[str, Any] = {
        "searchParameters": query.parameters(),
        "organic": organic(found, query.num),
    }
    asked = [
        {"question": plain(it.get("question")), "snippet": plain(it.get("answer"))}
        | {"title": plain(it.get("title")), "link": it.get("url")}
        for it in _results(said, "faq")
    ]
    if asked:
        payload["peopleAlsoAsk"] = asked
    if boxes := _results(said, "infobox"):
        payload["knowledgeGraph"] = {
            "title": plain(boxes[0].get("title")),
            "description": plain(boxes[0].get("long_desc") or boxes[0].get("description")),
        }
    return payload


def _results(said: dict[str, Any], part: str) -> list[dict[str, Any]]:
    inner = said.get(part)
    results = inner.get("results") if isinstance(inner, dict) else None
    return [it for it in results or [] if isinstance(it, dict)]


def _sitelinks(found: dict[str, Any]) -> dict[str, Any]:
    links = [
        {"title": plain(it.get("title")), "link": it.get("url")}
        for it in _results(found, "deep_results")
    ]
    return {"sitelinks": links} if links else {}


def _failure(reply: Reply) -> ProviderFailed:
    """Its refusals of a key have the status of a bad query, and its quota that of a rate."""
    error = reply.said.get("error") if isinstance(reply.said, dict) else None
    code = str(error.get("code", "")) if isinstance(error, dict) else ""
    if "TOKEN" in code:
        return KeyRefused(f"HTTP status {reply.status}: {code}")
    if "QUOTA" in code:
        return QuotaSpent(f"HTTP status {reply.status}: {code}")
    return failure(reply, code)
