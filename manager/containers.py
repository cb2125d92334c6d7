"""One node's tools under `/container/{id}/...`, where AgentDock's clients look for them.

The manager answers itself, with calls that are limited to the node: handed on, a request would
reach the node as the manager's own and not as its caller's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar

import orjson

from manager.registry import NodeRecord, Registry
from wire.errors import NotFound, PlatformError
from wire.faces.catalogue import Catalogue, ToolIndex
from wire.faces.front import Faces, refuse
from wire.faces.http import Receive, Scope, Send, send_json
from wire.models import Call, Outcome, ToolInfo

PREFIX = "/container/"
ALIVE = ("/alive", "/livez", "/health")


class Containers:
    """Answers requests below `/container/{id}`; the id is a node's.

    Args:
        registry: Knows the nodes.
        catalogue: Has all tools.
        version: Told over MCP.
        max_body_bytes: Longest request body.
    """

    def __init__(
        self, registry: Registry, catalogue: Catalogue, version: str, max_body_bytes: int
    ) -> None:
        self._registry = registry
        self._node: ContextVar[str] = ContextVar("node")
        here = _OfNode(registry, catalogue, self._node)
        self._faces = Faces(here, "agentdock", version, max_body_bytes)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve MCP while the context is open."""
        async with self._faces.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            NotFound: no node has that id, or there is nothing at the path.
        """
        node_id, _, rest = scope["path"][len(PREFIX) :].partition("/")
        node_of(self._registry, node_id)
        self._node.set(node_id)
        inner = {
            **scope,
            "path": f"/{rest}",
            "raw_path": f"/{rest}".encode(),
            "root_path": f"{PREFIX}{node_id}",
        }
        if inner["path"] in ALIVE and scope["method"] == "GET":
            await send_json(send, 200, orjson.dumps({"status": "alive"}))
            return
        try:
            handler = self._faces.handler(scope["method"], inner["path"])
            if handler is None:
                raise NotFound(
                    f"There is nothing at {scope['path']}: below {PREFIX}{{id}} are /mcp, "
                    "/mcpapi/..., /call_tool, /list_tools and /v1/tools."
                )
            await handler(inner, receive, send)
        except PlatformError as error:
            await refuse(inner, send, error)


class _OfNode:
    """The part of a catalogue that is on the node of this context."""

    def __init__(self, registry: Registry, catalogue: Catalogue, node: ContextVar[str]) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._node = node

    def tools(self, server: str | None = None) -> Sequence[ToolInfo]:
        """See `Catalogue`."""
        here = {(s.name, tool.name) for s in self._record().report.servers for tool in s.tools}
        return [t for t in self._catalogue.tools(server) if (t.server, t.name) in here]

    def servers(self) -> Sequence[str]:
        """See `Catalogue`."""
        return sorted(server.name for server in self._record().report.servers)

    def find(self, name: str) -> ToolInfo:
        """See `Catalogue`."""
        return ToolIndex(self.tools()).find(name).info

    async def call(self, call: Call) -> Outcome:
        """See `Catalogue`."""
        call.node = self._record().id
        return await self._catalogue.call(call)

    def _record(self) -> NodeRecord:
        return node_of(self._registry, self._node.get())


def node_of(registry: Registry, node_id: str) -> NodeRecord:
    """Return a node that is not lost.

    Raises:
        NotFound: there is none of that id; the text names those that are.
    """
    node = registry.node(node_id)
    if node is None:
        known = ", ".join(n.id for n in registry.nodes() if registry.node(n.id)) or "none"
        raise NotFound(f"There is no node {node_id!r} now. Nodes here: {known}.")
    return node
