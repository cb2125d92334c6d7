"""Does what MiroThinker's and AgentRL's clients do: mcp 1.x over legacy SSE. Prints what it got."""

import asyncio
import json
import sys
from typing import Any

from mcp import ClientSession
from mcp.client.sse import sse_client


async def main(url: str, tool: str, arguments: dict[str, Any]) -> None:
    """Open a session at `url`, list the tools and call one."""
    async with sse_client(url) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        result = await session.call_tool(tool, arguments)
        print(json.dumps({"tools": tools, "text": result.content[0].text}))  # type: ignore[union-attr]  # it is text


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
