"""The node's end of the link: takes a call from a manager and hands it to a tool server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nodes.host import Host
from wire.errors import BadRequest
from wire.faces.caller import require_peer
from wire.faces.gate import HEADERS_KEY
from wire.faces.http import HungUp, Receive, Scope, Send, read_body, send_json, unless_hung_up
from wire.link import OWNER, PATH, TIMEOUT, owner_in

PULSE_S = 0.25
STALLED_S = 1.5
"""A loop that did not turn for so long was stopped; the manager may have given its calls up."""

WARY_S = 1.0
"""How long, after such a stop, each call is looked at: they come in from the sockets' queues."""

SIGN_OF_LIFE_S = 0.1


class Link:
    """Answers `POST /link/{server}`; see `wire.link` for what crosses it."""

    def __init__(self, host: Host, max_body_bytes: int) -> None:
        self._host = host
        self._max_body_bytes = max_body_bytes
        self._turned = math.inf
        self._wary_until = 0.0

    @asynccontextmanager
    async def pulse(self) -> AsyncIterator[None]:
        """Watch, while the context is open, whether the event loop turns."""
        loop = asyncio.get_running_loop()
        self._turned = loop.time()

        async def beat() -> None:
            while True:
                await asyncio.sleep(PULSE_S)
                if self._is_stalled(loop.time()):
                    self._wary_until = loop.time() + WARY_S
                self._turned = loop.time()

        task = asyncio.create_task(beat(), name="pulse")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay one call."""
        require_peer(scope)
        server = scope["path"][len(PATH) :]
        timeout_s = _timeout(scope[HEADERS_KEY].get(TIMEOUT))
        params = await read_body(receive, self._max_body_bytes)
        if b"\n" in params or not params:
            # It is spliced into a conversation in lines: a line break would begin a second message.
            raise BadRequest("The body must be the params of a tools/call, in one line.")
        now = asyncio.get_running_loop().time()
        if now < self._wary_until or self._is_stalled(now):
            await _unless_given_up(receive)
        named = scope[HEADERS_KEY].get(OWNER)
        owner = None if named is None else owner_in(named)
        reply = await unless_hung_up(receive, self._host.relay(server, params, timeout_s, owner))
        await send_json(send, 200, reply)

    def _is_stalled(self, now: float) -> bool:
        return now - self._turned > STALLED_S


async def _unless_given_up(receive: Receive) -> None:
    """Return if the manager still waits for a call that came while this process was stopped.

    Raises:
        HungUp: it was told `node_lost` long ago, and may have called again elsewhere.
    """
    try:
        async with asyncio.timeout(SIGN_OF_LIFE_S):
            while (await receive())["type"] != "http.disconnect":
                continue
    except TimeoutError:
        return
    raise HungUp


def _timeout(header: bytes | None) -> float:
    try:
        seconds = float(header or b"")
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise BadRequest("X-Timeout-Seconds must say how many seconds the call may take.")
    return seconds
