"""The link: how a manager hands one call to a node over HTTP.

`POST /link/{server}` with the secret as bearer; the body is the `params` of an MCP `tools/call`, in
one line, which the node splices into the tool server's conversation without parsing it; therefore a
call to a session-scoped tool server names its owner in a header as well. The answer
is 200 with the tool server's JSON-RPC response as it came, or a problem document.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import orjson

from wire.errors import BadArguments
from wire.models import Call

PATH = "/link/"
CALL_ID = b"x-call-id"
TIMEOUT = b"x-timeout-seconds"
OWNER = b"x-agentdock-owner"
"""Whose call it is, where the node must know it: for session-scoped tool servers only. It is in the
params too, but those are not parsed on the way."""

_MARGIN_S = 0.5
_MARGIN_SHARE = 0.1


def inner_timeout(timeout_s: float) -> float:
    """Return the time, in seconds, that the next one inwards gets of `timeout_s`.

    Each layer keeps half a second (a tenth, if that is less), so that the innermost one that can
    explain a timeout answers first.
    """
    return timeout_s - min(_MARGIN_S, timeout_s * _MARGIN_SHARE)


def owner_value(owner: str) -> bytes:
    """Return an owner as the value of its header, whatever a Session's name holds."""
    return quote(owner, safe="/:").encode()


def owner_in(value: bytes) -> str:
    """Return the owner that a header's value names."""
    return unquote(value.decode("latin-1"))


def call_params(call: Call, tool: str, timeout_s: float) -> bytes:
    """Return the `params` of the `tools/call` for a tool server.

    Args:
        call: The call; its `meta` travels beside what we add under `agentdock/`.
        tool: The tool's bare name.
        timeout_s: Seconds that the tool server has. It is told if the caller named a deadline:
            the platform's own limit says nothing of what the caller wants.

    Raises:
        BadArguments: they hold what JSON writers refuse: integers beyond 64 bits, or 250 levels.
    """
    meta: dict[str, Any] = {
        **(call.meta or {}),
        "agentdock/owner": str(call.owner),
        "agentdock/call_id": call.id,
    }
    if call.timeout_s is not None:
        meta["agentdock/timeout_s"] = round(timeout_s, 3)
    try:
        return orjson.dumps({"name": tool, "arguments": call.arguments, "_meta": meta})
    except orjson.JSONEncodeError as error:
        raise BadArguments(f"{tool}: the arguments cannot be passed on: {error}.") from None
