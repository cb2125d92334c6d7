"""A tool server written for mcp 1.x, as most that exist are. Needs an environment of its own."""

from mcp.server.fastmcp import FastMCP  # type: ignore[attr-defined]  # only mcp 1.x has it

server = FastMCP("old")


@server.tool()  # type: ignore[untyped-decorator]  # only mcp 1.x has it
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


if __name__ == "__main__":
    server.run()
