"""The node's end of the link: takes a call from a manager and hands it to a tool server."""

from __future__ import annotations

import math

from nodes.host import Host
from wire.errors import BadRequest
from wire.faces.caller import require_peer
from wire.faces.gate import HEADERS_KEY
from wire.faces.http import Receive, Scope, Send, read_body, send_json, unless_hung_up
from wire.link import PATH, TIMEOUT


class Link:
    """Answers `POST /link/{server}`; see `wire.link` for what crosses it."""

    def __init__(self, host: Host, max_body_bytes: int) -> None:
        self._host = host
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay one call."""
        require_peer(scope)
        server = scope["path"][len(PATH) :]
        timeout_s = _timeout(scope[HEADERS_KEY].get(TIMEOUT))
        params = await read_body(receive, self._max_body_bytes)
        if b"\n" in params or not params:
            # It is spliced into a conversation in lines: a line break would begin a second message.
            raise BadRequest("The body must be the params of a tools/call, in one line.")
        reply = await unless_hung_up(receive, self._host.relay(server, params, timeout_s))
        await send_json(send, 200, reply)


def _timeout(header: bytes | None) -> float:
    try:
        seconds = float(header or b"")
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise BadRequest("X-Timeout-Seconds must say how many seconds the call may take.")
    return seconds
