"""What wires over HTTP have in common: taking messages, patience, and work beside the calls."""

from __future__ import annotations

import asyncio
import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeGuard

import orjson

from nodes.channel import Reply
from nodes.lines import answer_to
from wire.errors import CallTimedOut, ServerCrashed, ServerUnavailable

log = logging.getLogger(__name__)

CHECK_S = 15.0
"""Time between two looks at a server whose death nothing else would show."""

CHECK_LIMIT_S = 5.0
_INITIALIZED = b"notifications/initialized"
_NEWS = ("notifications/tools/list_changed", "notifications/subscriptions/acknowledged")
"""The second says from when on the first will come: what changed before would go unnoticed."""


class Inbox(ABC):
    """Takes what a remote tool server says. Subclasses send.

    Args:
        name: The tool server's name.
        origin: Where it is, for errors.
        on_tools_changed: Called when it says that its tools changed.
    """

    def __init__(self, name: str, origin: str, on_tools_changed: Callable[[], None]) -> None:
        self.name = name
        self.origin = origin
        self.on_tools_changed = on_tools_changed
        self.request_meta: dict[str, Any] | None = None
        self.agreed = False
        self.ended = asyncio.Event()
        self.reason: str | None = None
        self.ids = itertools.count(1)
        self._waits: set[asyncio.Timeout] = set()
        self._beside: set[asyncio.Task[None]] = set()
        self._greeting: asyncio.Task[None] | None = None

    @abstractmethod
    async def send(self, body: bytes) -> None:
        """Send what has no response; a failure shows at the next request."""

    def notify(self, method: bytes, params: bytes = b"{}") -> None:
        """Send a notification, unless the stateless era is spoken, which has none.

        It is dropped if the server is gone.
        """
        if self.request_meta is not None:
            return
        work = self.send(b'{"jsonrpc":"2.0","method":"%b","params":%b}' % (method, params))
        if method == _INITIALIZED:
            self._greeting = self.spawn(work)
        else:
            self.spawn(work)

    def tell_cancelled(self, number: int, why: str) -> None:
        """Tell the server to stop; in the stateless era closing the request has told it."""
        if self.agreed:
            params = orjson.dumps({"requestId": number, "reason": why})
            self.notify(b"notifications/cancelled", params)

    def answer(self, message: dict[str, Any]) -> None:
        """Answer what the server asked."""
        self.spawn(self.send(orjson.dumps(message)))

    def refuse_if_ended(self) -> None:
        """Refuse a request that cannot be sent any more.

        Raises:
            ServerUnavailable: the wire has ended.
        """
        if self.reason is not None:
            raise ServerUnavailable(
                f"Tool server {self.name!r} at {self.origin} {self.reason}.", retry_after_s=1.0
            )

    @asynccontextmanager
    async def patience(self, number: int, timeout_s: float) -> AsyncIterator[None]:
        """Wait for the response to a request; tell the server when nobody waits any longer.

        Raises:
            CallTimedOut: `timeout_s` seconds are over.
            ServerCrashed: the wire was closed meanwhile.
        """
        wait = asyncio.timeout(timeout_s)
        self._waits.add(wait)
        try:
            async with wait:
                yield
        except TimeoutError:
            if self.reason is not None:
                raise ServerCrashed(
                    f"Tool server {self.name!r} at {self.origin} {self.reason} while it worked on "
                    "the call."
                ) from None
            self.tell_cancelled(number, "the time for it is over")
            raise CallTimedOut(
                f"Tool server {self.name!r} did not answer within {timeout_s:g} s and was told to "
                "stop. Ask for less, or allow more time."
            ) from None
        except asyncio.CancelledError:
            self.tell_cancelled(number, "the caller went away")
            raise
        finally:
            self._waits.discard(wait)

    @property
    def busy(self) -> bool:
        """Whether a request waits for its response."""
        return bool(self._waits)

    async def greeted(self) -> None:
        """Wait until the server was told that the handshake is complete, if it is being told."""
        if self._greeting is not None:
            await asyncio.wait([self._greeting])
            self._greeting = None

    def finish(self, reason: str) -> None:
        """End the wire: what is in flight fails, what runs beside it stops. Safe to call twice."""
        if self.reason is None:
            self.reason = reason
            self.ended.set()
        for task in self._beside - {asyncio.current_task()}:
            task.cancel()
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(now)

    async def rest(self) -> None:
        """Wait until nothing runs beside the calls any more; only after `finish`."""
        if self._beside:
            await asyncio.wait(self._beside)

    def spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[None] | None:
        """Do something beside the calls, until the wire ends."""
        if self.reason is not None:
            work.close()
            return None
        task = asyncio.create_task(self._logged(work), name=f"wire of {self.name}")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def _logged(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except Exception as error:
            # Only the kind: the text could quote a header.
            log.error("tool server %s: unexpected %s", self.name, type(error).__name__)
            self.finish("broke the conversation")

    def take(self, data: str) -> Reply | None:
        """Take one message; return it if it is a response."""
        if not data:
            return None
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError:
            log.warning("tool server %s sent an event that is not JSON", self.name)
            return None
        if is_response(message):
            return Reply(message, data.encode())
        if isinstance(message, dict):
            self._note(message.get("method"), message.get("id"))
        return None

    def _note(self, method: object, number: object) -> None:
        """Take a message that the server began: it may ping, and say that its tools changed."""
        if number is None:
            if method in _NEWS:
                self.on_tools_changed()
            return
        self.answer(answer_to(method, number))


def is_response(message: object) -> TypeGuard[dict[str, Any]]:
    """Whether a message is a JSON-RPC response, be it a result or an error."""
    return (
        isinstance(message, dict)
        and "method" not in message
        and ("result" in message or "error" in message)
    )
