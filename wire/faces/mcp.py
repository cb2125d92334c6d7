"""The MCP face: streamable HTTP of both eras and legacy SSE, through the official SDK.

`/mcp` and `/sse` offer every tool as `server__tool`; `/servers/{name}/mcp` and
`/servers/{name}/sse` one server's tools by their bare names. Tools only: resources, prompts and
change notifications get handlers beside `_list_tools` and `_call_tool`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request

from wire.errors import NotFound, PlatformError, ServerError
from wire.faces.caller import caller_of
from wire.faces.catalogue import Catalogue
from wire.faces.envelope import build_call
from wire.faces.gate import HEADERS_KEY
from wire.faces.http import Message, Receive, Scope, Send, read_body, unless_hung_up
from wire.models import Outcome

_PATH = re.compile(r"(?:/servers/(?P<server>[^/]+))?/(?P<door>mcp|sse|messages)/?")
_SERVER_KEY = "agentdock.mcp_server"
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"
_STATELESS_HEADER = b"mcp-protocol-version"


class McpFace:
    """Speaks MCP for a catalogue. Handlers run only inside `run()`."""

    def __init__(self, catalogue: Catalogue, service: str, version: str, max_body: int) -> None:
        self._catalogue = catalogue
        self._max_body = max_body
        self._server: Server[dict[str, Any]] = Server(
            service,
            version=version,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,  # type: ignore[arg-type]  # the SDK takes dicts as well
        )
        # The gate has checked Host and Origin by our own settings.
        unguarded = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._sessions = StreamableHTTPSessionManager(
            self._server,
            json_response=True,
            security_settings=unguarded,
            max_request_body_size=max_body,
        )
        self._sse = SseServerTransport("/messages", unguarded, max_body)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Keep handshake-era sessions while the context is open."""
        async with self._sessions.run():
            yield

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path belongs to this face."""
        return _PATH.fullmatch(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            NotFound: the path names a tool server that does not exist.
        """
        match = _PATH.fullmatch(scope["path"])
        assert match is not None
        server = match["server"]
        if server is not None and server not in self._catalogue.servers():
            raise NotFound(
                f"There is no tool server named {server!r}. GET /mcpapi/servers lists them."
            )
        scope[_SERVER_KEY] = server
        # Sessions of the handshake era are bound to the key that opened them.
        key = caller_of(scope).key
        scope["user"] = AuthenticatedUser(AccessToken(token=key, client_id=key, scopes=[]))
        if match["door"] == "mcp":
            await self._streamable(scope, receive, send)
        elif match["door"] == "messages":
            await self._sse.handle_post_message(scope, receive, send)
        else:
            root = scope.get("root_path", "") + _prefix(server)
            await self._open_sse({**scope, "root_path": root}, receive, send)

    async def _streamable(self, scope: Scope, receive: Receive, send: Send) -> None:
        version = scope[HEADERS_KEY].get(_STATELESS_HEADER)
        if version is None or version.decode("latin-1") in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._sessions.handle_request(scope, receive, send)
            return
        # In 2026-07-28 a closed request is a cancelled one; the SDK does not watch for it.
        body = _Replay(await read_body(receive, self._max_body), receive)
        await unless_hung_up(receive, self._sessions.handle_request(scope, body, send))

    async def _open_sse(self, scope: Scope, receive: Receive, send: Send) -> None:
        options = self._server.create_initialization_options()
        complete = False

        async def watch(message: Message) -> None:
            nonlocal complete
            complete = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        async with self._sse.connect_sse(scope, receive, watch) as (incoming, outgoing):
            await self._server.run(incoming, outgoing, options)
        if not complete:
            # The library leaves a stream without its end when the service shuts down.
            await send({"type": "http.response.body", "body": b""})

    async def _list_tools(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        server = _request(ctx).scope[_SERVER_KEY]
        tools = [
            {**tool.definition, "name": tool.name if server else tool.qualified}
            for tool in self._catalogue.tools(server)
        ]
        return ListToolsResult.model_validate({"tools": tools})

    async def _call_tool(
        self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult | dict[str, Any]:
        scope = _request(ctx).scope
        try:
            call = build_call(
                scope,
                params.name,
                dict(params.arguments or {}),
                server=scope[_SERVER_KEY],
                mcp_session=_session_of(ctx),
                meta=_meta(ctx),
            )
            return _unsigned(await self._catalogue.call(call))
        except PlatformError as error:
            raise _rpc_error(error) from error


class _Replay:
    """An ASGI `receive` that gives a body already read, then goes on with the real one."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _prefix(server: str | None) -> str:
    return "" if server is None else f"/servers/{server}"


def _request(ctx: ServerRequestContext[Any, Any]) -> Request:
    """Return the HTTP request that carried the message; both transports attach it."""
    assert isinstance(ctx.request, Request)
    return ctx.request


def _session_of(ctx: ServerRequestContext[Any, Any]) -> str | None:
    """Return the id of a handshake-era session, which its transport has verified, else None."""
    if ctx.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
        return None
    request = _request(ctx)
    session: str | None = request.headers.get("mcp-session-id") or request.query_params.get(
        "session_id"
    )
    return session


def _meta(ctx: ServerRequestContext[Any, Any]) -> dict[str, Any]:
    """Return the caller's `_meta` without its progress token: progress is not relayed yet."""
    meta = (ctx.params or {}).get("_meta") or {}
    return {key: value for key, value in meta.items() if key != "progressToken"}


def _unsigned(outcome: Outcome) -> dict[str, Any]:
    """Return the result without the tool server's signature: a relay signs as itself."""
    # 2026-07-28 requires `resultType`, which a handshake-era tool server does not send.
    result = {"resultType": "complete", **outcome.result}
    meta = result.get("_meta")
    if isinstance(meta, dict) and _SERVER_INFO in meta:
        kept = {key: value for key, value in meta.items() if key != _SERVER_INFO}
        result["_meta"] = kept or None
    return result


def _rpc_error(error: PlatformError) -> MCPError:
    """Return a platform failure as JSON-RPC error; a tool server's own goes through as it came."""
    if isinstance(error, ServerError) and isinstance(rpc := error.extra.get("rpc_error"), dict):
        return MCPError(rpc.get("code", error.rpc_code), rpc.get("message", ""), rpc.get("data"))
    return MCPError(error.rpc_code, error.detail, error.problem())
