"""How a call comes in over HTTP and how its outcome goes out, for the faces that speak JSON."""

from __future__ import annotations

import re
from typing import Any

import orjson

from wire.errors import BadRequest, ServerError
from wire.faces.caller import caller_of, owner_of
from wire.faces.gate import HEADERS_KEY
from wire.faces.http import Scope
from wire.models import Call, Outcome
from wire.trace import with_trace

SESSION = b"x-session-id"
TIMEOUT = b"x-timeout-seconds"
PARENT_HEADER = b"traceparent"
_NUMBER = re.compile(rb"\d{1,9}(\.\d{1,9})?")
RESERVED = ("agentdock/", "io.modelcontextprotocol/")


def parse_object(body: bytes, what: str = "The body") -> dict[str, Any]:
    """Parse a JSON object; an empty body is an empty one.

    Raises:
        BadRequest: not JSON, or not an object.
    """
    if not body:
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"{what} is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadRequest(f"{what} must be a JSON object.")
    return value


def build_call(
    scope: Scope,
    tool: str,
    arguments: dict[str, Any],
    *,
    server: str | None = None,
    timeout_s: object = None,
    mcp_session: str | None = None,
    meta: dict[str, Any] | None = None,
) -> Call:
    """Build the Call of a request that the gate let through.

    Args:
        scope: The request; its headers may name a Session and a timeout.
        tool: The tool's name as asked.
        arguments: The tool's arguments.
        server: Limits the search to one tool server.
        timeout_s: A timeout named in the body, in seconds; the header comes first.
        mcp_session: Id of a handshake-era MCP session.
        meta: The caller's MCP `_meta`; keys of the platform and the protocol are left out. Trace
            context may come in headers as well.

    Raises:
        BadRequest: a header or the timeout is not usable.
    """
    headers: dict[bytes, bytes] = scope[HEADERS_KEY]
    session = headers.get(SESSION)
    wish = headers.get(TIMEOUT, timeout_s)
    return Call(
        tool=tool,
        arguments=arguments,
        owner=owner_of(
            caller_of(scope), None if session is None else session.decode("latin-1"), mcp_session
        ),
        server=server,
        timeout_s=None if wish is None else _seconds(wish),
        meta=_meta(meta, headers),
    )


def _meta(meta: dict[str, Any] | None, headers: dict[bytes, bytes]) -> dict[str, Any] | None:
    kept = None
    if meta:
        kept = {k: v for k, v in meta.items() if not k.startswith(RESERVED)}
    if kept or PARENT_HEADER in headers:
        return with_trace(kept, headers)
    return None


def _seconds(value: object) -> float:
    seconds = 0.0
    if isinstance(value, bytes):
        seconds = float(value) if _NUMBER.fullmatch(value) else 0.0
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if not 0 < seconds < float("inf"):
        raise BadRequest("X-Timeout-Seconds (or timeout_s) must be a number of seconds above 0.")
    return seconds


def envelope(call: Call, outcome: Outcome) -> bytes:
    """Encode the answer of `/v1`: what the tool said, unaltered, and where it ran."""
    result = outcome.result
    answer: dict[str, Any] = {
        "call_id": call.id,
        "tool": outcome.tool.name,
        "server": outcome.tool.server,
        "node": outcome.node,
        "is_error": outcome.is_error,
        "content": result.get("content", []),
        "structured_content": result.get("structuredContent"),
        "duration_ms": round(outcome.duration_ms, 3),
    }
    return encode(answer)


def encode(answer: object) -> bytes:
    """Encode an answer that holds what a tool said.

    Raises:
        ServerError: the tool's answer is nested deeper than JSON writers go.
    """
    try:
        return orjson.dumps(answer)
    except orjson.JSONEncodeError as error:
        raise ServerError(
            f"The tool answered, but its answer cannot be passed on: {error}."
        ) from None
