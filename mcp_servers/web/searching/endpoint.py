"""Asks the endpoints that settings name: trusted to be asked, yet bounded in time and size.

Nothing is redirected, so a key reaches nobody but the endpoint that it is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import orjson

from mcp_servers.fetching.retries import retry_after_s
from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.web.keys import Keys
from mcp_servers.web.searching.base import (
    KeyRefused,
    ProviderFailed,
    QueryRefused,
    QuotaSpent,
    RateLimited,
    Unavailable,
)

MAX_BYTES = 5_000_000
CONNECT_S = 5.0
DEEPEST = 100
"""Most levels of an answer: no service has more, and what keeps it follows it all the way down."""

SAID = 200
"""Most characters that are quoted of what an endpoint said."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered: `said` is its JSON, None if it is none."""

    status: int
    headers: httpx.Headers
    said: Any

    @property
    def retry_after_s(self) -> float | None:
        """Seconds that it asked to wait, if it did."""
        return retry_after_s(self.headers.get("retry-after"))


class Endpoints:
    """Asks endpoints over kept connections; to be closed with `aclose`.

    Args:
        settings: Names the proxy and the hosts that need none.
        deadline_s: Seconds for a request that is given none.
        keys: What is hidden in all that they say.
    """

    def __init__(self, settings: FetchSettings, deadline_s: float, keys: Keys) -> None:
        self._deadline_s = deadline_s
        self._settings = settings
        self._keys = keys
        proxy = settings.proxy.get_secret_value() if settings.proxy else None
        tls = httpx.create_ssl_context()
        headers = {"User-Agent": settings.user_agent, "Accept": "application/json"}
        # No proxy of the environment: what a setting does not name gets no key of ours.
        self._direct = httpx.AsyncClient(verify=tls, trust_env=False, headers=headers)
        self._proxied = (
            httpx.AsyncClient(verify=tls, trust_env=False, headers=headers, proxy=proxy)
            if proxy
            else self._direct
        )

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        deadline_s: float | None = None,
    ) -> Reply:
        """Return the answer, whatever its status.

        Raises:
            Unavailable: there is none in time, or it is too large or nested too deeply.
        """
        client = self._proxied if self._settings.proxy_to(url) else self._direct
        limit_s = deadline_s or self._deadline_s
        timeout = httpx.Timeout(limit_s, connect=min(CONNECT_S, limit_s))
        body = bytearray()
        with anyio.move_on_after(limit_s):
            try:
                async with client.stream(
                    method, url, headers=headers, params=params, json=json, timeout=timeout
                ) as response:
                    async for piece in response.aiter_bytes():
                        body += piece
                        if len(body) > MAX_BYTES:
                            raise Unavailable(f"it answered with more than {MAX_BYTES} bytes")
            except httpx.TimeoutException:
                raise Unavailable("it did not answer in time") from None
            except httpx.HTTPError as error:
                raise Unavailable(f"it cannot be reached ({type(error).__name__})") from None
            said = _json(bytes(body))
            if _is_deep(said):
                raise Unavailable("its answer is nested too deeply")
            return Reply(response.status_code, response.headers, self._keys.hide(said))
        raise Unavailable(f"it did not answer within {limit_s:g} s")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._direct.aclose()
        await self._proxied.aclose()


def failure(reply: Reply, message: str = "") -> ProviderFailed:
    """Return what an answer that is no success means, by its status.

    Words tell nothing: a query that is refused is quoted in them.

    Args:
        reply: The answer.
        message: What it said, in its own words; shown shortened.
    """
    said = f": {message[:SAID]}" if message else ""
    text = f"HTTP status {reply.status}{said}"
    match reply.status:
        case 402 | 432 | 433:
            return QuotaSpent(text)
        case 401 | 403:
            return KeyRefused(text)
        case 429:
            return RateLimited(text, reply.retry_after_s)
        case 503 if reply.retry_after_s is not None:
            return RateLimited(text, reply.retry_after_s)
        case 400 | 404 | 405 | 413 | 414 | 415 | 422:
            return QueryRefused(text)
    return Unavailable(text)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _is_deep(said: Any) -> bool:
    """Whether JSON has more than DEEPEST levels; told without a call for each of them."""
    level = [said]
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _within(value)]
        if not level:
            return False
    return True


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
