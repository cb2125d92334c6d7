"""A tool server that serves files: the real files server, with sandboxes that are mere folders."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer

from mcp_servers.sandbox.area import Folder
from mcp_servers.sandbox.files_server import FilesApp, serving
from mcp_servers.sandbox.quota import Quota
from mcp_servers.sandbox.transfers import FileArea, NoWorkspace


class Sandboxes:
    """Folders in the server's own folder, each beside a file that names its owner."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, owner: str) -> str:
        """Make a sandbox and return its handle."""
        handle = f"{os.environ['AGENTDOCK_HANDLE_PREFIX']}.{secrets.token_hex(16)}"
        (self._root / handle).mkdir()
        (self._root / f"{handle}.json").write_text(json.dumps(owner))
        return handle

    def list(self, owner: str) -> list[dict[str, Any]]:
        found = (path.stem for path in sorted(self._root.glob("*.json")))
        return [{"sandbox_id": name} for name in found if self._owner(name) == owner]

    async def close(self, sandbox_id: str, owner: str) -> None:
        self._check(sandbox_id, owner)
        (self._root / f"{sandbox_id}.json").unlink()

    @asynccontextmanager
    async def opened(self, sandbox_id: str, owner: str) -> AsyncIterator[Folder]:
        self._check(sandbox_id, owner)
        fd = os.open(self._root / sandbox_id, os.O_RDONLY)
        try:
            yield Folder(fd)
        finally:
            os.close(fd)

    def _owner(self, sandbox_id: str) -> object:
        path = self._root / f"{sandbox_id}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def _check(self, sandbox_id: str, owner: str) -> None:
        if "/" in sandbox_id or self._owner(sandbox_id) != owner:
            raise NoWorkspace(f"There is no sandbox {sandbox_id!r}.")


async def main() -> None:
    """Serve files and tools until stdin ends. The argument is the quota in bytes."""
    boxes = Sandboxes(Path(os.environ["AGENTDOCK_STATE_DIR"]))
    quota = Quota(max_bytes=int(sys.argv[1])) if len(sys.argv) > 1 else None
    server = MCPServer("box")

    @server.tool()
    async def open_sandbox(context: Context) -> str:
        """Open a sandbox and return its handle."""
        meta: Mapping[str, Any] = context.request_context.meta or {}
        return boxes.open(str(meta["agentdock/owner"]))

    app = FilesApp(FileArea(Path(os.environ["AGENTDOCK_FILES_DIR"]), quota), boxes)
    async with serving(app, Path(os.environ["AGENTDOCK_FILES_SOCKET"])):
        await server.run_stdio_async()


if __name__ == "__main__":
    asyncio.run(main())
