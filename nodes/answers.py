"""What HTTP tells about a call to a remote tool server, in the platform's words.

No text here holds more of a URL than its origin, and nothing of a header: both may carry secrets.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx2

from nodes.channel import MAX_LINE_BYTES
from wire.errors import Overloaded, PlatformError, ServerCrashed, ServerError, ServerUnavailable

NOT_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
RETRY_S = 1.0
LONGEST_RETRY_S = 60.0


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL: the rest may be a secret."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}"


def unreachable(name: str, origin: str, error: Exception) -> ServerUnavailable:
    """Say that no connection came about, so that nothing ran."""
    why = str(error) or type(error).__name__
    return ServerUnavailable(
        f"Tool server {name!r} at {origin} cannot be reached: {why}.", retry_after_s=RETRY_S
    )


def broke_off(name: str, origin: str) -> ServerCrashed:
    """Say that the connection broke after the request was sent."""
    return ServerCrashed(f"Tool server {name!r} at {origin} broke off while it worked on the call.")


async def body_of(name: str, origin: str, response: httpx2.Response) -> bytes:
    """Return the body of an answer, which may be as long as the line of a child may be.

    Raises:
        ServerError: it is longer; the rest is not read.
        httpx2.HTTPError: it broke off.
    """
    parts = []
    size = 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > MAX_LINE_BYTES:
            raise ServerError(
                f"Tool server {name!r} at {origin} sent an answer of over {MAX_LINE_BYTES} bytes."
            )
    return b"".join(parts)


def refusal(name: str, origin: str, response: httpx2.Response) -> PlatformError:
    """Return what an HTTP status means that came without a JSON-RPC response."""
    status = response.status_code
    text = f"Tool server {name!r} at {origin} answered HTTP {status}"
    if status in (401, 403):
        return ServerError(f"{text}: it refuses us. Check `headers` in its entry.")
    if status == 200:
        return ServerError(
            f"{text}, but no response of MCP to what was asked. Check `url`, and `type` (http or "
            "sse)."
        )
    if 300 <= status < 400:
        target = response.headers.get("location", "")
        place = origin_of(target) if "://" in target else "another path"
        return ServerError(f"{text}, a redirect to {place}: give the final address as `url`.")
    if status == 429:
        return Overloaded(f"{text}: too many requests.", retry_after_s=_retry_after_s(response))
    if status == 503:
        return ServerUnavailable(f"{text}.", retry_after_s=_retry_after_s(response))
    if status in (502, 504):
        # A gateway speaks; what is behind it may have run the call.
        return ServerCrashed(f"{text}; it may have run the call.")
    return ServerError(f"{text}.")


def _retry_after_s(response: httpx2.Response) -> float:
    try:
        seconds = float(response.headers.get("retry-after", RETRY_S))
    except ValueError:
        return RETRY_S
    return min(max(seconds, RETRY_S), LONGEST_RETRY_S)
