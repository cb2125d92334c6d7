"""How a conversation with a tool server begins, in either era of MCP; how its tools are read."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Protocol

import orjson
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    METHOD_NOT_FOUND,
    PROTOCOL_VERSION_META_KEY,
    Tool,
)
from pydantic import ValidationError

from nodes.channel import Reply
from wire import __version__
from wire.errors import ServerError

log = logging.getLogger(__name__)

HANDSHAKE_VERSION = "2025-11-25"
STATELESS_VERSION = "2026-07-28"
CLIENT_INFO = {"name": "agentdock", "version": __version__}
MAX_PAGES = 100
MAX_LIST_BYTES = 2 * 1024 * 1024
"""Most bytes that the definitions of one server's tools may have as JSON, all together."""

SPARE_DEPTH = 100
"""Levels, of the 254 that JSON writers take, which are left for what a report wraps around."""


class HandshakeFailed(Exception):
    """The tool server answered, but not so that it could be used."""


class Wire(Protocol):
    """What carries JSON-RPC to a tool server: the pipes of a process, or HTTP."""

    name: str
    """The tool server's name, for errors and the log."""

    request_meta: dict[str, Any] | None
    """What each request's `_meta` must hold; set once the stateless era was agreed on."""

    async def request(self, method: bytes, params: bytes, timeout_s: float) -> Reply:
        """Send one request and return its response, a result or a JSON-RPC error.

        Raises:
            PlatformError: there is no response.
        """
        ...

    def notify(self, method: bytes, params: bytes = b"{}") -> None:
        """Send a notification; it is dropped if the server is gone."""
        ...


async def shake_hands(wire: Wire, timeout_s: float, newest_first: bool = False) -> None:
    """Agree on a protocol version: by `initialize`, or by the stateless era's `server/discover`.

    Args:
        wire: To the tool server.
        timeout_s: Seconds for each request.
        newest_first: Whether to try the stateless era before the other one.

    Raises:
        HandshakeFailed: it speaks neither era.
        PlatformError: see `Wire.request`.
    """
    steps = (_discover, _initialize) if newest_first else (_initialize, _discover)
    refusals = []
    for step in steps:
        refusal = await step(wire, timeout_s)
        if refusal is None:
            return
        refusals.append(refusal)
    if newest_first:
        refusals.reverse()
    raise HandshakeFailed(
        f"it refused the MCP handshake of {HANDSHAKE_VERSION} ({refusals[0]}) and "
        f"does not speak {STATELESS_VERSION} either"
    )


async def _initialize(wire: Wire, timeout_s: float) -> str | None:
    """Try the handshake era; return why it was refused, if it was."""
    params = {
        "protocolVersion": HANDSHAKE_VERSION,
        "capabilities": {},
        "clientInfo": CLIENT_INFO,
    }
    try:
        reply = await wire.request(b"initialize", orjson.dumps(params), timeout_s)
    except ServerError as error:
        return error.detail
    if not isinstance(reply.message.get("result"), dict):
        return _error_of(reply.message)
    wire.notify(b"notifications/initialized")
    return None


async def _discover(wire: Wire, timeout_s: float) -> str | None:
    """Try the stateless era; return why it was refused, if it was."""
    wire.request_meta = {
        PROTOCOL_VERSION_META_KEY: STATELESS_VERSION,
        CLIENT_CAPABILITIES_META_KEY: {},
        CLIENT_INFO_META_KEY: CLIENT_INFO,
    }
    try:
        reply = await wire.request(b"server/discover", b"{}", timeout_s)
    except ServerError as error:
        wire.request_meta = None
        return error.detail
    result = reply.message.get("result")
    if isinstance(result, dict) and STATELESS_VERSION in result.get("supportedVersions", ()):
        return None
    wire.request_meta = None
    return _error_of(reply.message)


async def list_tools(wire: Wire, timeout_s: float) -> list[dict[str, Any]]:
    """Return the definitions of all tools, page by page.

    Odd ones and repeated names are left out, and what is so large or so deep that it would cost
    other tools their place in the node's report.

    Raises:
        HandshakeFailed: it refused to list them.
        PlatformError: see `Wire.request`.
    """
    tools: dict[str, dict[str, Any]] = {}
    room: float = MAX_LIST_BYTES
    cursor: object = None
    for _ in range(MAX_PAGES):
        params = b"{}" if cursor is None else orjson.dumps({"cursor": cursor})
        reply = await wire.request(b"tools/list", params, timeout_s)
        result = reply.message.get("result")
        if not isinstance(result, dict):
            if _code_of(reply.message) == METHOD_NOT_FOUND:
                return []
            raise HandshakeFailed(f"it refused to list its tools ({_error_of(reply.message)})")
        page = result.get("tools")
        for definition in page if isinstance(page, list) else []:
            fault = _fault_of(definition, tools, room)
            if fault is None:
                tools[definition["name"]] = {"inputSchema": {"type": "object"}, **definition}
                room -= _size_of(definition)
            else:
                log.warning("tool server %s lists %s; left out", wire.name, fault)
        cursor = result.get("nextCursor")
        if cursor is None:
            break
    return list(tools.values())


def _fault_of(definition: object, known: Mapping[str, object], room: float) -> str | None:
    """Return what keeps a definition from being listed; `room` is what is left, in bytes."""
    name = definition.get("name") if isinstance(definition, dict) else None
    if not isinstance(definition, dict) or not isinstance(name, str) or not name:
        return "a tool without a name"
    if name in known:
        return f"{name[:80]!r} twice"
    if _size_of(definition) > room:
        return f"{name[:80]!r}, which is too large or too deeply nested"
    try:
        Tool.model_validate({"inputSchema": {"type": "object"}, **definition})
    except ValidationError as error:
        return f"{name[:80]!r} in a form that MCP does not know ({_first_fault(error)})"
    return None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"


def _size_of(definition: object) -> float:
    """Return the length of a definition as JSON, in bytes; infinite if it is too deep."""
    inmost = definition
    for _ in range(SPARE_DEPTH):
        inmost = [inmost]
    try:
        return len(orjson.dumps(inmost))
    except orjson.JSONEncodeError:
        return math.inf


def _code_of(message: dict[str, Any]) -> object:
    error = message.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _error_of(message: dict[str, Any]) -> str:
    error = message.get("error")
    if isinstance(error, dict):
        return f"{error.get('code')}: {error.get('message')}"
    return "no result"
