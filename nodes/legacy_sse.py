"""JSON-RPC over legacy HTTP+SSE: requests are posted, all responses come over one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urljoin

import httpx2

from nodes.answers import NOT_CONNECTED, body_of, broke_off, origin_of, refusal, unreachable
from nodes.channel import MAX_LINE_BYTES, Reply
from nodes.inbox import CHECK_LIMIT_S, CHECK_S, Inbox
from wire.errors import PlatformError, ServerError


class LegacySse(Inbox):
    """A wire whose life is one stream: when it ends, so does the wire.

    Args:
        name: The tool server's name.
        url: Where the stream is.
        client: Carries the entry's headers; closed by whoever made it.
        on_tools_changed: Called when the server says that its tools changed.
    """

    def __init__(
        self,
        name: str,
        url: str,
        client: httpx2.AsyncClient,
        on_tools_changed: Callable[[], None],
    ) -> None:
        super().__init__(name, origin_of(url), on_tools_changed)
        self._url = url
        self._client = client
        self._pending: dict[object, asyncio.Future[Reply]] = {}
        self._endpoint: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Open the stream and learn where to post.

        Raises:
            PlatformError: it cannot be reached, or refuses us.
        """
        self.spawn(self._read())
        await self._endpoint

    async def request(self, method: bytes, params: bytes, timeout_s: float) -> Reply:
        """Send one request and return its response; see `Wire.request`.

        Raises:
            ServerUnavailable, Overloaded: nothing ran.
            CallTimedOut: no response in time; the server was told to stop.
            ServerCrashed: the stream broke after the request was sent.
            ServerError: the request was refused without a JSON-RPC response.
        """
        self.refuse_if_ended()
        number = next(self.ids)
        response: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[number] = response
        try:
            async with self.patience(number, timeout_s):
                await self.greeted()
                body = b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}'
                await self._post(body % (number, method, params))
                reply = await response
        finally:
            del self._pending[number]
        self.agreed = True
        return reply

    def listen(self) -> None:
        """Look from time to time whether the other end of the stream is still there."""
        self.spawn(self._watch())

    async def close(self) -> None:
        """Close the stream, which is all there is to end."""
        self.finish("was left")
        await self.rest()
        self._endpoint.cancel()

    async def _read(self) -> None:
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        try:
            async with self._client.stream("GET", self._url, headers=headers) as answer:
                kind = answer.headers.get("content-type", "")
                if answer.status_code != 200 or not kind.startswith("text/event-stream"):
                    self._fail(refusal(self.name, self.origin, answer))
                    return
                async for event in httpx2.EventSource(answer, max_event_size=MAX_LINE_BYTES):
                    self._hear(event)
        except httpx2.HTTPError as error:
            self._fail(unreachable(self.name, self.origin, error))
        finally:
            self._fail(broke_off(self.name, self.origin))
            self.finish("closed its stream")

    def _hear(self, event: httpx2.ServerSentEvent) -> None:
        if event.event == "endpoint":
            target = urljoin(self._url, event.data)
            if origin_of(target) != self.origin:
                # The headers of the entry are for this origin alone.
                self._fail(
                    ServerError(
                        f"Tool server {self.name!r} at {self.origin} wants messages posted to "
                        f"{origin_of(target)}, another origin; it gets none."
                    )
                )
            elif not self._endpoint.done():
                self._endpoint.set_result(target)
            return
        reply = self.take(event.data)
        if reply is not None:
            response = self._pending.get(reply.message.get("id"))
            if response is not None and not response.done():
                response.set_result(reply)

    def _fail(self, error: PlatformError) -> None:
        """Fail `open`, if it still waits."""
        if not self._endpoint.done():
            self._endpoint.set_exception(error)

    async def _post(self, body: bytes) -> None:
        """Send a message.

        Raises:
            PlatformError: see `request`.
        """
        target = self._endpoint.result()
        headers = {"content-type": "application/json"}
        try:
            async with self._client.stream("POST", target, content=body, headers=headers) as answer:
                if not answer.is_success:
                    raise refusal(self.name, self.origin, answer)
                await body_of(self.name, self.origin, answer)
        except NOT_CONNECTED as error:
            raise unreachable(self.name, self.origin, error) from None
        except httpx2.HTTPError:
            raise broke_off(self.name, self.origin) from None

    async def send(self, body: bytes) -> None:
        """Send what has no response; a failure shows at the next request."""
        with suppress(PlatformError, TimeoutError):
            async with asyncio.timeout(CHECK_LIMIT_S):
                await self._post(body)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                await self.request(b"ping", b"{}", CHECK_LIMIT_S)
            except PlatformError:
                # One that is busy with a call may be slow to answer.
                if not self.busy:
                    self.finish("does not answer any more")
                    return
