"""Serper (https://serper.dev): Google's results. Its shape is the one all others are put into."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from mcp_servers.web.searching.base import Found, ProviderFailed, Query, QuotaSpent, Unavailable
from mcp_servers.web.searching.endpoint import Endpoints, Reply, failure

SPENT = "not enough credits"


class Serper:
    """See Provider.

    Args:
        endpoints: How to ask.
        base_url: Where it is.
        key: Our key.
    """

    name = "serper"

    def __init__(self, endpoints: Endpoints, base_url: str, key: SecretStr) -> None:
        self._endpoints = endpoints
        self._url = f"{base_url.rstrip('/')}/search"
        self._key = key

    async def search(self, query: Query) -> Found:
        """See Provider."""
        asked = {name: value for name, value in query.parameters().items() if name != "type"}
        reply = await self._endpoints.ask(
            "POST", self._url, headers={"X-API-KEY": self._key.get_secret_value()}, json=asked
        )
        said = reply.said if isinstance(reply.said, dict) else {}
        if reply.status != 200:
            raise _failure(reply, str(said.get("message", "")))
        if not _is_result(said):
            raise Unavailable("its answer holds no search result")
        return Found({"organic": [], **said})


def _failure(reply: Reply, message: str) -> ProviderFailed:
    """A spent quota has the status of a bad query; all of its message says which it is."""
    if reply.status == 400 and message.strip(" .").lower() == SPENT:
        return QuotaSpent(f"HTTP status {reply.status}: {message}")
    return failure(reply, message)


def _is_result(said: dict[str, Any]) -> bool:
    return isinstance(said.get("searchParameters"), dict) and isinstance(
        said.get("organic", []), list
    )
