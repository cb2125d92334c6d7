"""Tells the person at the terminal what is ready, as soon as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from manager.fleet import Fleet
from manager.registry import NodeRecord, Registry
from manager.settings import ManagerSettings
from wire.models import NodeState, ServerState

PATIENCE_S = 15.0
FIRST_TOOL = "run_python_code"
FIRST_CURL = """  curl -s {url}/v1/tools/run_python_code/call \\
    -H 'Content-Type: application/json'{key} \\
    -d '{{"arguments": {{"code_block": "print(6*7)"}}}}'"""
UNSETTLED = (ServerState.STARTING, ServerState.BACKING_OFF)


class Banner:
    """Waits until the wanted nodes are settled, then tells what there is.

    Args:
        settings: Where the manager listens and keeps things.
        registry: What is known of nodes.
        fleet: Knows which nodes should run here.
        say: Takes the text.
        patience_s: Seconds after which it tells what is still not ready, and goes on.
    """

    def __init__(
        self,
        settings: ManagerSettings,
        registry: Registry,
        fleet: Fleet,
        say: Callable[[str], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._fleet = fleet
        self._say = say
        self._patience_s = patience_s
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Look again: the registry changed."""
        self._changed.set()

    async def show(self) -> None:
        """Say once what is ready, when everything is or when patience ends."""
        try:
            async with asyncio.timeout(self._patience_s):
                while self._missing():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        self._say(self.text())

    def _missing(self) -> list[str]:
        """Return what is not settled yet, in words."""
        found = []
        for node_id in self._fleet.wanted():
            node = self._registry.node(node_id)
            if node is None or node.state is not NodeState.READY:
                trouble = self._fleet.troubles().get(node_id)
                found.append(trouble or f"node {node_id} has not joined yet")
                continue
            found += [
                f"tool server {server.name} on {node_id} is {server.state}"
                for server in node.report.servers
                if server.state in UNSETTLED
            ]
        return found

    def text(self) -> str:
        """Return what there is now."""
        settings = self._settings
        missing = self._missing()
        lines = [
            "",
            self._title(missing),
            *(f"  {line}" for line in missing),
            f"  API       {settings.url}/v1/tools   (docs: {settings.url}/docs)",
            f"  MCP       {settings.url}/mcp   (SSE: {settings.url}/sse)",
            f"  health    {settings.url}/health",
            *self._node_lines(),
            *self._trouble_lines(),
            f"  logs      {settings.data_dir.absolute() / 'logs'}",
        ]
        if any(tool.name == FIRST_TOOL for tool in self._registry.tools()):
            key = "" if settings.anonymous else " -H 'Authorization: Bearer <key>'"
            lines += ["", "Try it:", FIRST_CURL.format(url=settings.url, key=key)]
        return "\n".join([*lines, "Ctrl-C ends it.", ""])

    def _title(self, missing: list[str]) -> str:
        if missing:
            return "AgentDock runs, but not all of it is ready:"
        return "AgentDock is ready." if self._live() else "AgentDock runs and waits for nodes."

    def _live(self) -> list[NodeRecord]:
        return [n for n in self._registry.nodes() if n.state is not NodeState.LOST]

    def _node_lines(self) -> list[str]:
        live = self._live()
        if not live and not self._fleet.wanted():
            return ["  nodes     none yet: start one with AGENTDOCK_NODE_MANAGER_URL set to this"]
        return [f"  node      {node.id} at {node.url}: {_tools(node)}" for node in live]

    def _trouble_lines(self) -> list[str]:
        lines = []
        for node in self._live():
            lines += [f"  problem   {node.id}: {problem}" for problem in node.report.problems]
            lines += [
                f"  problem   {node.id}: {server.name} is {server.state}: {server.error}"
                for server in node.report.servers
                if server.error
            ]
        return lines


def _tools(node: NodeRecord) -> str:
    names = [
        tool.qualified
        for server in node.report.servers
        if server.state is ServerState.READY
        for tool in server.tools
    ]
    return ", ".join(names) or "no tools"
