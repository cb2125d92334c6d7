"""How a conversation with a tool server begins, in either era of MCP; how its tools are read."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import orjson
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    METHOD_NOT_FOUND,
    PROTOCOL_VERSION_META_KEY,
    Tool,
)
from pydantic import ValidationError

from nodes.channel import Channel
from wire import __version__

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


async def shake_hands(channel: Channel, timeout_s: float) -> None:
    """Agree on a protocol version: by `initialize`, else by the stateless era's `server/discover`.

    Raises:
        HandshakeFailed: it speaks neither era.
        PlatformError: see `Channel.request`.
    """
    params = {
        "protocolVersion": HANDSHAKE_VERSION,
        "capabilities": {},
        "clientInfo": CLIENT_INFO,
    }
    reply = await channel.request(b"initialize", orjson.dumps(params), timeout_s)
    if isinstance(reply.message.get("result"), dict):
        channel.notify(b"notifications/initialized")
        return
    channel.request_meta = {
        PROTOCOL_VERSION_META_KEY: STATELESS_VERSION,
        CLIENT_CAPABILITIES_META_KEY: {},
        CLIENT_INFO_META_KEY: CLIENT_INFO,
    }
    discovered = await channel.request(b"server/discover", b"{}", timeout_s)
    result = discovered.message.get("result")
    if not isinstance(result, dict) or STATELESS_VERSION not in result.get("supportedVersions", ()):
        raise HandshakeFailed(
            f"it refused the MCP handshake of {HANDSHAKE_VERSION} ({_error_of(reply.message)}) and "
            f"does not speak {STATELESS_VERSION} either"
        )


async def list_tools(channel: Channel, timeout_s: float) -> list[dict[str, Any]]:
    """Return the definitions of all tools, page by page.

    Odd ones and repeated names are left out, and what is so large or so deep that it would cost
    other tools their place in the node's report.

    Raises:
        HandshakeFailed: it refused to list them.
        PlatformError: see `Channel.request`.
    """
    tools: dict[str, dict[str, Any]] = {}
    room: float = MAX_LIST_BYTES
    cursor: object = None
    for _ in range(MAX_PAGES):
        params = b"{}" if cursor is None else orjson.dumps({"cursor": cursor})
        reply = await channel.request(b"tools/list", params, timeout_s)
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
                log.warning("tool server %s lists %s; left out", channel.name, fault)
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
