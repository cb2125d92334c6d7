"""ddgs: a library that reads the public pages of several search engines. It needs no key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from mcp_servers.web.searching.base import Found, Query, RateLimited, Unavailable
from mcp_servers.web.searching.shape import organic, result

if TYPE_CHECKING:
    from ddgs.ddgs import DDGS

AT_A_TIME = 8
"""Searches at a time: each holds threads, also for a while after nobody waits for it."""

ENGINE_S = 5
REFUSALS = frozenset({202, 403, 418, 429})
"""How engines answer whom they take for a robot; DuckDuckGo says 202."""

_FRESHNESS = {"hour": "d", "day": "d", "week": "w", "month": "m", "year": "y"}


class Ddgs:
    """See Provider.

    Args:
        engines: Which engines to read, separated by commas; `auto` for the library's choice.
        deadline_s: Seconds for one search.
        proxy: URL of a proxy, if there is one.
    """

    name = "ddgs"

    def __init__(self, engines: str, deadline_s: float, proxy: str | None = None) -> None:
        self._engines = engines
        self._deadline_s = deadline_s
        self._proxy = proxy
        self._threads = anyio.CapacityLimiter(AT_A_TIME)

    async def search(self, query: Query) -> Found:
        """See Provider."""
        with anyio.move_on_after(self._deadline_s):
            # Threads cannot be stopped: one that nobody waits for any more ends by itself.
            return await anyio.to_thread.run_sync(
                self._search, query, abandon_on_cancel=True, limiter=self._threads
            )
        raise Unavailable(f"it did not answer within {self._deadline_s:g} s")

    def _search(self, query: Query) -> Found:
        from ddgs.exceptions import DDGSException, RatelimitException

        statuses: list[int] = []
        try:
            found = _watched(statuses, self._proxy).text(
                query.q,
                # Parts of it become parts of addresses, so only letters get here (see Query).
                region=f"{query.gl}-{query.hl.partition('-')[0]}".lower(),
                timelimit=_FRESHNESS[query.freshness] if query.freshness else None,
                max_results=query.num,
                page=query.page,
                backend=self._engines,
            )
        except RatelimitException:
            raise RateLimited("the engines that it reads ask to wait") from None
        except DDGSException as error:
            if "No results found" not in str(error):
                raise Unavailable("the engines that it reads did not answer") from None
            found = []
        if not found:
            _check(statuses)
        results = [result(it.get("title"), it.get("href"), it.get("body")) for it in found]
        return Found(
            {"searchParameters": query.parameters(), "organic": organic(results, query.num)}
        )


def _check(statuses: list[int]) -> None:
    """Tell engines that found nothing from those that would not say."""
    if any(status == 200 for status in statuses):
        return
    if any(status in REFUSALS for status in statuses):
        raise RateLimited("the engines that it reads take us for a robot")
    raise Unavailable("the engines that it reads did not answer")


def _watched(statuses: list[int], proxy: str | None) -> DDGS:
    """Return a searcher that notes what engines answer: it takes a refusal for nothing found."""
    from ddgs.ddgs import DDGS

    class Watched(DDGS):
        def _get_engines(self, category: str, backend: str) -> list[Any]:
            engines = super()._get_engines(category, backend)
            for engine in engines:
                _watch(engine.http_client, statuses)
            return engines

    return Watched(proxy=proxy, timeout=ENGINE_S)


def _watch(client: Any, statuses: list[int]) -> None:
    ask = client.request

    def request(*arguments: Any, **options: Any) -> Any:
        response = ask(*arguments, **options)
        statuses.append(response.status_code)
        return response

    client.request = request
