"""The README's example is what it says: three steps, fifteen lines, and it works."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from mcp import StdioServerParameters
from mcp.client.client import Client

from nodes.entries import parse_entry
from tests.guards.source import ROOT


def block(language: str) -> str:
    """Return the README's only code block of that language, without its indentation."""
    text = (ROOT / "README.md").read_text()
    [found] = re.findall(rf"```{language}\n(.*?)\s*```", text, re.DOTALL)
    return "".join(line.removeprefix("   ") for line in found.splitlines(keepends=True))


async def test_the_example_of_a_tool_server_is_short_and_works(tmp_path: Path) -> None:
    server = tmp_path / "dice.py"
    server.write_text(block("python"))
    assert len(block("python").strip().splitlines()) <= 15
    async with Client(StdioServerParameters(command=sys.executable, args=[str(server)])) as client:
        result = await client.call_tool("throw", {"count": 3})
    assert not result.is_error
    assert result.structured_content is not None
    assert len(result.structured_content["result"]) == 3


def test_the_example_of_an_entry_names_that_server() -> None:
    [(name, raw)] = tomllib.loads(block("toml"))["mcpServers"].items()
    entry = parse_entry(name, raw, {})
    assert (entry.name, entry.args) == ("dice", ("mcp_servers/dice.py",))
    assert "`mcp_servers/dice.py`" in (ROOT / "README.md").read_text()
    assert entry.cwd == ROOT
