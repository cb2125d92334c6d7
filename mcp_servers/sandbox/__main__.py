"""`python -m mcp_servers.sandbox`: the server on stdin and stdout, until stdin ends."""

import sys

import anyio

from mcp_servers.sandbox.app import running
from mcp_servers.sandbox.levels.base import LevelFault
from mcp_servers.sandbox.levels.shortfall import shortfall
from mcp_servers.sandbox.server import create_server
from mcp_servers.sandbox.settings import SandboxSettings


async def serve() -> None:
    """Serve until stdin ends."""
    settings = SandboxSettings()
    async with running(settings) as tools:
        warning = shortfall(tools.sandboxes.level.name, settings.level)
        await create_server(tools, warning).run_stdio_async()


if __name__ == "__main__":
    try:
        anyio.run(serve)
    except* LevelFault as faults:
        sys.exit(f"The sandbox does not start: {faults.exceptions[0]}")
