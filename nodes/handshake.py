"""How a conversation with a tool server begins, in either era of MCP; how its tools are read."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    METHOD_NOT_FOUND,
    PROTOCOL_VERSION_META_KEY,
)

from nodes.channel import Channel
from wire import __version__

log = logging.getLogger(__name__)

HANDSHAKE_VERSION = "2025-11-25"
STATELESS_VERSION = "2026-07-28"
CLIENT_INFO = {"name": "agentdock", "version": __version__}
MAX_PAGES = 100


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
    """Return the definitions of all tools, page by page; odd ones and repeated names are left out.

    Raises:
        HandshakeFailed: it refused to list them.
        PlatformError: see `Channel.request`.
    """
    tools: dict[str, dict[str, Any]] = {}
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
            _keep(channel.name, tools, definition)
        cursor = result.get("nextCursor")
        if cursor is None:
            break
    return list(tools.values())


def _keep(server: str, tools: dict[str, dict[str, Any]], definition: object) -> None:
    name = definition.get("name") if isinstance(definition, dict) else None
    if not isinstance(definition, dict) or not isinstance(name, str) or not name:
        log.warning("tool server %s lists a tool without a name; left out", server)
    elif name in tools:
        log.warning("tool server %s lists %r twice; the first is kept", server, name)
    else:
        tools[name] = definition


def _code_of(message: dict[str, Any]) -> object:
    error = message.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _error_of(message: dict[str, Any]) -> str:
    error = message.get("error")
    if isinstance(error, dict):
        return f"{error.get('code')}: {error.get('message')}"
    return "no result"
