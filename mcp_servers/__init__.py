"""Ordinary MCP programs, each run alone: `python -m mcp_servers.<name>`."""
