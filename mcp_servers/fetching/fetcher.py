"""Fetches a URL that a stranger wrote: guarded, pinned, bounded in time and size, and polite."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import anyio
import httpx

from mcp_servers.fetching.courtesy import Courtesy, NoTurn
from mcp_servers.fetching.decoding import ACCEPTED, decoder
from mcp_servers.fetching.errors import (
    BadUrl,
    BrokenAnswer,
    Crowded,
    FetchError,
    HttpError,
    Refused,
    TooLarge,
    TooManyRedirects,
    TooSlow,
    Unreachable,
)
from mcp_servers.fetching.guard import Guard, Target
from mcp_servers.fetching.patience import Patience
from mcp_servers.fetching.pinning import PinnedTransport
from mcp_servers.fetching.retries import PASSING, RetryPolicy, retry_after_s
from mcp_servers.fetching.robots import Robots
from mcp_servers.fetching.settings import FetchSettings

REDIRECTS = frozenset({301, 302, 303, 307, 308})
OURS = frozenset(
    {
        *("host", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"),
        *("content-length", "transfer-encoding", "accept-encoding"),
        *("proxy-authorization", "proxy-connection"),
    }
)
"""Headers that a request must not choose for itself: they decide how the bytes are read."""

Sink = Callable[[bytes], Awaitable[None]]
"""Takes the next piece of a body; what it raises ends the fetch."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to fetch.

    Args:
        url: A stranger's text; it may be anything.
        headers: To send along, though never to another origin.
        max_bytes: Largest body, unpacked; None for the setting.
        deadline_s: Seconds for everything, from the look-up to the last byte, but for turns at
            hosts, for their robots.txt, and for who takes the body; None for the setting.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_bytes: int | None = None
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer.

    Args:
        url: Where it came from in the end.
        status: The HTTP status, whatever it is.
        headers: Its headers.
        size: Bytes of the body, unpacked.
        body: The body; empty if it went to a sink.
    """

    url: str
    status: int
    headers: httpx.Headers
    size: int
    body: bytes = field(default=b"", repr=False)

    @property
    def retry_after_s(self) -> float | None:
        """Seconds that the server asked to wait, if it did."""
        return retry_after_s(self.headers.get("retry-after"))


class Fetcher:
    """Fetches; one for a whole process, since it keeps count of hosts and connections.

    Args:
        settings: Limits, the proxy, inner hosts.
        guard: Judges every URL, also those of redirects.
        transport: Dials what the guard admitted.
        retries: How often to ask.
    """

    def __init__(
        self,
        settings: FetchSettings,
        guard: Guard,
        transport: PinnedTransport,
        retries: RetryPolicy | None = None,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._transport = transport
        self._retries = retries or RetryPolicy(settings.attempts)
        self._courtesy = Courtesy(settings.host_connections, settings.host_rate)
        self._robots = Robots(settings.user_agent) if settings.robots else None

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def fetch(self, request: Request, sink: Sink | None = None) -> Fetched:
        """Return the answer, whatever its status.

        Args:
            request: What to fetch.
            sink: Takes the body piece by piece; None to have it in memory.

        Raises:
            FetchError: there is none, or none that may be had; the message is for the model.
        """
        body = bytearray()

        async def keep(piece: bytes) -> None:
            body.extend(piece)

        answer = await self._within_deadline(request, sink or keep, any_status=True)
        return Fetched(answer.url, answer.status, answer.headers, answer.size, bytes(body))

    async def download(self, request: Request, sink: Sink) -> Fetched:
        """Hand the body of a successful answer to `sink`, piece by piece.

        When it fails, `sink` may have got the beginning of a body.

        Raises:
            HttpError: the status is no success; `sink` got nothing.
            FetchError: see `fetch`.
        """
        return await self._within_deadline(request, sink, any_status=False)

    async def _within_deadline(self, request: Request, sink: Sink, *, any_status: bool) -> Fetched:
        _check_headers(request.headers)
        patience = Patience(request.deadline_s or self._settings.deadline_s)
        limit = request.max_bytes or self._settings.max_bytes
        with patience.running():
            async with self._opened(request.url, request.headers, patience) as (target, response):
                if not any_status and not response.is_success:
                    raise _status_error(target, response)
                size = await _read(response, limit, _apart(patience, sink))
        return Fetched(str(target.url), response.status_code, response.headers, size)

    async def introduce(self, target: Target) -> None:
        """Return when a page may be asked for by other means of ours, such as a browser.

        Its site's robots.txt was obeyed, if a setting says so, and a turn came and went.

        Raises:
            FetchError: it may not, or no turn came; the message is for the model.
        """
        if self._robots is not None:
            await self._robots.check(target, self._robots_text)
        async with self._turn(target):
            return

    @asynccontextmanager
    async def _opened(
        self, url: str, headers: Mapping[str, str], patience: Patience, *, obey: bool = True
    ) -> AsyncIterator[tuple[Target, httpx.Response]]:
        """Follow redirects from `url`; give the answer at the end of them, its body unread."""
        target = await self._guard.admit(url)
        for _ in range(self._settings.max_redirects + 1):
            if obey and self._robots is not None:
                with patience.waiting():
                    await self._robots.check(target, self._robots_text)
            async with self._answer(target, headers, patience) as response:
                location = response.headers.get("location")
                if response.status_code not in REDIRECTS or location is None:
                    yield target, response
                    return
            following = await self._redirected(target, location)
            if following.origin != target.origin:
                headers = {}
            target = following
        raise TooManyRedirects(
            f"The server redirected more than {self._settings.max_redirects} times."
        )

    async def _redirected(self, target: Target, location: str) -> Target:
        try:
            # As browsers do: what a Location holds beyond ASCII is UTF-8.
            following = str(target.url.join(location))
            return await self._guard.admit(following, named=target.inner)
        except (httpx.InvalidURL, BadUrl) as error:
            raise BrokenAnswer(f"The server redirected to a bad address. {error}") from None
        except ValueError:  # what joins addresses knows errors of its own
            raise BrokenAnswer("The server redirected to a bad address.") from None
        except Refused as error:
            raise Refused(f"The server redirected to where nothing is fetched. {error}") from None

    @asynccontextmanager
    async def _answer(
        self, target: Target, headers: Mapping[str, str], patience: Patience
    ) -> AsyncIterator[httpx.Response]:
        """Ask one target, again if that may help; the turn at its host lasts until the body's end.

        The address stays the one that was judged: no try looks the name up anew.
        """
        async with AsyncExitStack() as turn:
            with patience.waiting():
                await turn.enter_async_context(self._turn(target))
            response = await self._ask(target, headers)
            try:
                yield response
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()

    @asynccontextmanager
    async def _turn(self, target: Target) -> AsyncIterator[None]:
        wait_s = self._settings.wait_s
        async with AsyncExitStack() as turn:
            try:
                await turn.enter_async_context(self._courtesy.turn(target.site, wait_s))
            except NoTurn:
                raise Crowded(
                    f"So many fetches ask {target.host} that no turn came within {wait_s:g} s"
                    " (FETCH_WAIT_S; FETCH_HOST_CONNECTIONS at a time and FETCH_HOST_RATE in a"
                    " second have one). Try again later."
                ) from None
            yield

    async def _ask(self, target: Target, headers: Mapping[str, str]) -> httpx.Response:
        ours = {"User-Agent": self._settings.user_agent, "Accept": "*/*"}
        given = {name.lower() for name in headers}
        sent = {name: text for name, text in ours.items() if name.lower() not in given}
        # Space around a value means nothing in HTTP, and what sends it does not take it.
        sent |= {name: text.strip(" ") for name, text in headers.items()}
        sent["Accept-Encoding"] = ACCEPTED
        tried = 0
        while True:
            tried += 1
            response: httpx.Response | None = None
            asked_s = None
            try:
                response = await self._transport.get(target, sent)
                if response.status_code not in PASSING:
                    return response
                asked_s = retry_after_s(response.headers.get("retry-after"))
                failure: FetchError | None = None
            except httpx.TransportError as error:
                failure = _explained(error, target)
            wait_s = self._retries.wait_s(tried, asked_s, random.random())
            if wait_s is None or isinstance(failure, TooSlow):
                if response is not None:
                    return response
                assert failure is not None
                raise failure
            if response is not None:
                await response.aclose()
            await anyio.sleep(wait_s)

    async def _robots_text(self, url: str, deadline_s: float) -> tuple[int, bytes]:
        """Return status and text of a robots.txt; it is not itself subject to one.

        Of a long one, the first lines.
        """
        text = bytearray()

        async def keep(piece: bytes) -> None:
            text.extend(piece)
            if len(text) > Robots.MAX_BYTES:
                raise _Enough

        patience = Patience(deadline_s)
        with patience.running():
            async with self._opened(url, {}, patience, obey=False) as (_, response):
                try:
                    await _read(response, sys.maxsize, keep)
                except _Enough:
                    del text[text.rfind(b"\n", 0, Robots.MAX_BYTES) + 1 :]
        return response.status_code, bytes(text)


class _Enough(Exception):
    """No more of a body is wanted."""


def _apart(patience: Patience, sink: Sink) -> Sink:
    """Return a sink whose own time is not the server's."""

    async def take(piece: bytes) -> None:
        with patience.waiting():
            await sink(piece)

    return take


async def _read(response: httpx.Response, limit: int, sink: Sink) -> int:
    """Unpack the body into `sink`; return its size."""
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    unpack = decoder(response.headers.get("content-encoding", ""))
    received = size = 0
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        async for data in response.stream:
            received += len(data)
            for piece in unpack.feed(data):
                size += len(piece)
                if size > limit:
                    raise _too_large(limit)
                await sink(piece)
            # A packed answer that unpacks to nothing has no end of its own.
            if received > limit:
                raise _too_large(limit)
    except httpx.TimeoutException:
        raise TooSlow("The server fell silent in the middle of its answer.") from None
    except httpx.TransportError:
        raise BrokenAnswer("The server hung up in the middle of its answer.") from None
    unpack.finish()
    return size


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not (name.replace("-", "").replace("_", "").isalnum() and name.isascii()):
            raise BadUrl(f"{name!r} cannot be the name of a header.")
        if name.lower() in OURS:
            raise Refused(f"The header {name} cannot be set: the fetcher sets it.")
        if not (value.isascii() and value.isprintable()):
            raise BadUrl(f"The value of the header {name} holds more than printable ASCII.")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The answer is larger than {limit} bytes, the most that is fetched.")


def _status_error(target: Target, response: httpx.Response) -> HttpError:
    asked_s = retry_after_s(response.headers.get("retry-after"))
    wait = "" if asked_s is None else f" It asks to come back in {asked_s:g} s."
    return HttpError(
        f"{target.host} answered with HTTP status {response.status_code}.{wait}",
        response.status_code,
        asked_s,
    )


def _explained(error: httpx.TransportError, target: Target) -> FetchError:
    where = f"{target.host}, port {target.port},"
    if isinstance(error, httpx.ConnectTimeout):
        return Unreachable(f"{where} did not take a connection in time.")
    if isinstance(error, httpx.TimeoutException):
        return TooSlow(f"{where} took the request and fell silent.")
    if isinstance(error, httpx.ProxyError):
        return Unreachable("The proxy did not let the request through.")
    if isinstance(error, httpx.ConnectError):
        if "SSL" in str(error) or "certificate" in str(error):
            return Unreachable(f"{where} has no valid certificate for its name.")
        return Unreachable(f"{where} refuses connections.")
    if isinstance(error, httpx.ReadError):
        return BrokenAnswer(f"{where} hung up without an answer.")
    return BrokenAnswer(f"{where} sent something that is not proper HTTP.")
