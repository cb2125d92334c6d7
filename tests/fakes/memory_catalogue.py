"""A catalogue without nodes: its tools are coroutines of the test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from wire.errors import NotFound
from wire.faces.catalogue import ToolIndex
from wire.models import Call, Outcome, ToolInfo

Body = Callable[[Call], Awaitable[dict[str, Any]]]


class MemoryCatalogue:
    """Offers tools by `server.tool` name; remembers the calls it got."""

    def __init__(self, tools: dict[str, Body], schema: dict[str, Any] | None = None) -> None:
        self._bodies = tools
        self.calls: list[Call] = []
        infos = []
        for name in tools:
            server, _, tool = name.partition(".")
            definition = {
                "name": tool,
                "description": f"The tool {tool}.",
                "inputSchema": schema or {"type": "object"},
            }
            infos.append(ToolInfo(server=server, name=tool, definition=definition))
        self._index = ToolIndex(infos)

    def tools(self, server: str | None = None) -> Sequence[ToolInfo]:
        if server is not None and server not in self.servers():
            raise NotFound(f"There is no tool server named {server!r}.")
        return self._index.list(server)

    def servers(self) -> Sequence[str]:
        return sorted({tool.server for tool in self._index.list()})

    def find(self, name: str) -> ToolInfo:
        return self._index.find(name).info

    async def call(self, call: Call) -> Outcome:
        tool = self._index.find(call.tool, call.server)
        tool.check(call.arguments)
        self.calls.append(call)
        result = await self._bodies[tool.info.dotted](call)
        return Outcome(result, tool.info, "node-1", 1.5)


def says(text: str, *, is_error: bool = False) -> Body:
    """Return a tool that answers with one text part."""

    async def body(call: Call) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": text}], "isError": is_error}

    return body
