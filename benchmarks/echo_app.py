"""What calls are compared with: a raw ASGI echo, and the same tool on the official SDK."""

from __future__ import annotations

import sys

import uvicorn
from mcp.server.mcpserver import MCPServer

from wire.faces.http import Receive, Scope, Send, read_body, send_json


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request with its own body: what one HTTP hop costs at the least."""
    if scope["type"] == "http":
        await send_json(send, 200, await read_body(receive, 1 << 20))


def sdk() -> None:
    """Serve the tool by the SDK alone, over streamable HTTP with JSON answers."""
    server = MCPServer("direct")

    @server.tool()
    def echo(text: str) -> str:
        """Return its text."""
        return text

    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]), json_response=True)


if __name__ == "__main__":
    if sys.argv[1] == "sdk":
        sdk()
    else:
        uvicorn.run(echo, host="127.0.0.1", port=int(sys.argv[2]), lifespan="off", access_log=False)
