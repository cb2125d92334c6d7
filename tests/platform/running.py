"""A platform of real processes for a test: one manager, some nodes, each on its own port."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_ports

SECRET = "a secret of this test only"
ROOT = Path(__file__).parent.parent.parent


class RunningPlatform:
    """Starts and ends the processes, and asks the manager what it sees.

    Args:
        folder: Where profiles, data and logs go.
        environ: Further variables for every process.

    Nodes join the manager, or whichever managers `join` names.
    """

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.join = self.url
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self.client = httpx.AsyncClient(
            base_url=self.url, timeout=60, limits=httpx.Limits(max_connections=2000)
        )
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AGENTDOCK_SECRET": SECRET,
            **environ,
        }

    def start_manager(self, name: str = "manager", port: int | None = None) -> None:
        """Start the manager, or another one on a port of its own; none has a launcher."""
        self._start(
            name,
            "manager",
            AGENTDOCK_MANAGER_PORT=str(port or self.port),
            AGENTDOCK_MANAGER_LAUNCHER="external",
        )

    def start_node(self, node_id: str, profile: str) -> Path:
        """Start a node (again, on the port it had) and return its profile's path."""
        path = self.folder / f"{node_id}.toml"
        path.write_text(profile)
        port = self.ports.setdefault(node_id, free_ports(1)[0])
        self._start(
            node_id,
            "nodes",
            AGENTDOCK_NODE_ID=node_id,
            AGENTDOCK_NODE_PORT=str(port),
            AGENTDOCK_NODE_PROFILE=str(path),
            AGENTDOCK_NODE_MANAGER_URL=self.join,
        )
        return path

    def _start(self, name: str, module: str, **environ: str) -> None:
        data = self.folder / name
        data.mkdir(exist_ok=True)
        with (data / "log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env={**self._environ, "AGENTDOCK_DATA_DIR": str(data), **environ},
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process of the platform."""
        self.processes[name].send_signal(how)

    async def stop(self) -> None:
        """End everything, nodes first, and let each child be reaped."""
        await self.client.aclose()
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            await asyncio.to_thread(process.wait, 30)

    async def nodes(self) -> dict[str, Any]:
        """Return what the manager knows of each node, by id."""
        answer = await self.client.get("/v1/nodes")
        return {node["id"]: node for node in answer.json()["nodes"]}

    async def servers(self, node_id: str) -> dict[str, Any]:
        """Return what a node says of its tool servers, by name."""
        answer = await self.client.get(f"http://127.0.0.1:{self.ports[node_id]}/v1/servers")
        return {server["name"]: server for server in answer.json()["servers"]}

    async def call(self, tool: str, **arguments: Any) -> httpx.Response:
        """Call a tool through the manager."""
        return await self.client.post(f"/v1/tools/{tool}/call", json={"arguments": arguments})

    async def ready(self, *node_ids: str) -> None:
        """Wait until these nodes are ready with every tool server ready."""

        async def all_ready() -> bool:
            nodes = await self.nodes()
            return all(
                node_id in nodes
                and nodes[node_id]["state"] == "ready"
                and nodes[node_id]["servers"]
                and all(server["state"] == "ready" for server in nodes[node_id]["servers"])
                for node_id in node_ids
            )

        await eventually(all_ready, 20)


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 5) -> None:
    """Return when `condition` is true; an unreachable service counts as false.

    Raises:
        TimeoutError: it was not within `seconds`.
    """
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await condition():
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.02)


def share_files(folder: Path, *node_ids: str) -> None:
    """Give nodes one file area, as those of a machine have; before they start."""
    area = folder / "area"
    area.mkdir()
    for node_id in node_ids:
        (folder / node_id).mkdir()
        (folder / node_id / "files").symlink_to(area)


@asynccontextmanager
async def platform(
    folder: Path, profiles: dict[str, str], **environ: str
) -> AsyncIterator[RunningPlatform]:
    """Run a manager and a node for each profile, and wait until all is ready."""
    running = RunningPlatform(folder, **environ)

    async def alive() -> bool:
        return (await running.client.get("/livez")).status_code == 200

    try:
        running.start_manager()
        await eventually(alive, 20)
        for node_id, profile in profiles.items():
            running.start_node(node_id, profile)
        if profiles:
            await running.ready(*profiles)
        yield running
    finally:
        await running.stop()
