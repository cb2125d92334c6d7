"""Plain ASGI in and out: bodies, JSON answers, problem documents, callers that hang up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from typing import Any, TypeVar

import orjson

from wire.errors import BodyTooLarge, PlatformError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

T = TypeVar("T")
log = logging.getLogger(__name__)

WATCH_AFTER_S = 0.25
"""Only calls longer than this watch for a hang-up: a watching task costs a short call a fifth."""


class HungUp(Exception):
    """The HTTP client went away before it was answered; there is nobody to tell."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return the request's whole body.

    Raises:
        BodyTooLarge: over `limit` bytes.
        HungUp: the client left before it had sent everything.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        chunk = message.get("body", b"")
        size += len(chunk)
        check_length(size, limit)
        if not message.get("more_body"):
            return chunk if not chunks else b"".join([*chunks, chunk])
        chunks.append(chunk)


def check_length(size: int, limit: int) -> None:
    """Refuse a body that is too long.

    Raises:
        BodyTooLarge: `size` is over `limit`, both in bytes.
    """
    if size > limit:
        raise BodyTooLarge(f"The body is over {limit} bytes. Send less, or raise the limit.")


def limited(receive: Receive, limit: int) -> Receive:
    """Return a `receive` that refuses to go beyond `limit` bytes of body (see `check_length`)."""
    size = 0

    async def count() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        check_length(size, limit)
        return message

    return count


async def send_json(
    send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with a JSON document that is already encoded."""
    length = b"%d" % len(body)
    base = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": [*base, *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, error: PlatformError) -> None:
    """Answer with the RFC 9457 document of an error."""
    body = orjson.dumps(error.problem())
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        *error.headers(),
    ]
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def unless_hung_up(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; cancel it when the HTTP client hangs up meanwhile.

    Raises:
        HungUp: the client went away and `work` was cancelled for it.
    """
    loop = asyncio.get_running_loop()
    caller = asyncio.current_task()
    assert caller is not None
    watcher: asyncio.Task[None] | None = None
    hung_up = False

    async def watch() -> None:
        nonlocal hung_up
        while (await receive())["type"] != "http.disconnect":
            continue
        hung_up = True
        caller.cancel()

    def start() -> None:
        nonlocal watcher
        watcher = loop.create_task(watch())

    timer = loop.call_later(WATCH_AFTER_S, start)
    try:
        return await work
    except asyncio.CancelledError:
        if hung_up and caller.uncancel() == 0:
            raise HungUp from None
        raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()
