"""`python -m mcp_servers.web`: the server on stdin and stdout, until stdin ends."""

from __future__ import annotations

import logging
import sys

import anyio

from mcp_servers.web.app import Settings, UnusableSettings, load_settings, web_server


async def _serve(settings: Settings) -> None:
    async with web_server(settings) as server:
        await server.run_stdio_async()


def main() -> None:
    """Serve, or say in a line for each unusable setting why not."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = load_settings()
    except UnusableSettings as error:
        sys.exit(str(error))
    anyio.run(_serve, settings)


if __name__ == "__main__":
    main()
