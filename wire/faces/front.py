"""The front: the ASGI application of manager and node. Gate, then faces, then FastAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from wire.errors import NotFound, PlatformError
from wire.faces.agentdock import SERVER_PREFIX, TOOL_PREFIX, AgentDockFace, send_failure
from wire.faces.catalogue import Catalogue
from wire.faces.gate import Gate, GatePolicy
from wire.faces.http import Asgi, Receive, Scope, Send, limited, send_problem
from wire.faces.mcp import McpFace
from wire.faces.openapi import document_faces
from wire.faces.problems import answer_with_problems
from wire.faces.rest import PREFIX, RestFace


@dataclass(frozen=True, slots=True)
class RawRoute:
    """A handler reached before FastAPI and its costs; of any method if `method` is None."""

    method: str | None
    prefix: str
    handler: Callable[[Scope, Receive, Send], Awaitable[None]]


class Faces:
    """A catalogue over every protocol, reached by path and method.

    Args:
        catalogue: Who has the tools.
        service: Name under which the service introduces itself over MCP.
        version: Its version.
        max_body_bytes: Longest request body.
    """

    def __init__(
        self, catalogue: Catalogue, service: str, version: str, max_body_bytes: int
    ) -> None:
        rest = RestFace(catalogue, max_body_bytes)
        agentdock = AgentDockFace(catalogue, max_body_bytes)
        self._mcp = McpFace(catalogue, service, version, max_body_bytes)
        self._exact: dict[tuple[str, str], Asgi] = {
            ("GET", PREFIX): rest.list,
            ("GET", "/mcpapi/servers"): agentdock.servers,
            ("GET", "/mcpapi/tools"): agentdock.tools,
            ("GET", "/list_tools"): agentdock.list_tools,
            ("POST", "/call_tool"): agentdock.call_by_message,
        }
        self._prefixes: list[tuple[str, str, Asgi]] = [
            ("POST", f"{PREFIX}/", rest.call),
            ("POST", TOOL_PREFIX, agentdock.call_by_path),
            ("GET", f"{PREFIX}/", rest.list),
            ("GET", SERVER_PREFIX, agentdock.server_tools),
        ]

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve MCP while the context is open."""
        async with self._mcp.run():
            yield

    def handler(self, method: str, path: str) -> Asgi | None:
        """Return who answers a request, or None if it belongs to none of the faces.

        Raises:
            NotFound: it belongs to a face that has nothing there.
        """
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        for wanted, prefix, handler in self._prefixes:
            if method == wanted and path.startswith(prefix):
                return handler
        if AgentDockFace.serves(path):
            raise NotFound(f"There is nothing at {path} to {method}. See /docs.")
        return self._mcp if self._mcp.serves(path) else None


class Front:
    """Offers a catalogue over every face, and the rest of a service through FastAPI.

    Args:
        catalogue: Who has the tools.
        control: Everything that is not on the path of a call; its lifespan must enter `run()`.
        policy: Whom to let in.
        service: Name under which the service introduces itself over MCP.
        raw: Further handlers on the path of a call; they come first.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        control: FastAPI,
        policy: GatePolicy,
        service: str,
        raw: Sequence[RawRoute] = (),
    ) -> None:
        self._max_body_bytes = policy.max_body_bytes
        self._faces = Faces(catalogue, service, control.version, policy.max_body_bytes)
        self._control = control
        self._raw = raw
        self._entrance = _entrance(Gate(self._dispatch, policy, refuse), policy)
        answer_with_problems(control)
        document_faces(control)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve MCP while the context is open; entered by `control`'s lifespan."""
        async with self._faces.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._control(scope, receive, send)
        elif scope["type"] == "http":
            await self._entrance(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        for route in self._raw:
            if route.method in (None, method) and path.startswith(route.prefix):
                await route.handler(scope, receive, send)
                return
        handler = self._faces.handler(method, path)
        if handler is not None:
            await handler(scope, receive, send)
        else:
            await self._control(scope, limited(receive, self._max_body_bytes), send)


async def refuse(scope: Scope, send: Send, error: PlatformError) -> None:
    """Tell a caller of an error, in the shape that clients of the path read."""
    if AgentDockFace.serves(scope["path"]):
        await send_failure(send, error)
    else:
        await send_problem(send, error)


def _entrance(gate: Gate, policy: GatePolicy) -> Asgi:
    """Answer browsers' preflights before the gate, if pages of other origins may call at all."""
    if not policy.origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=sorted(policy.origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["Mcp-Session-Id", "Retry-After", "Content-Range", "ETag"],
    )
