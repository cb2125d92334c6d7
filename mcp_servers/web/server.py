"""The MCP face of the web: a server with all its tools."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

from mcp_servers.web.extracts import Extracts
from mcp_servers.web.page_tools import add_page_tools
from mcp_servers.web.reader import PageReader
from mcp_servers.web.search_tools import add_search_tools
from mcp_servers.web.searching.search import Search


def create_server(search: Search, reader: PageReader, extracts: Extracts) -> MCPServer:
    """Return the MCP server whose tools search and read."""
    server = MCPServer("web")
    add_search_tools(server, search)
    add_page_tools(server, reader, extracts)
    return server
