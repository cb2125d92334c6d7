"""Tool servers and clients that are not ours: mcp 1.x by uvx, JavaScript by npx."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import need
from tests.platform.running import platform
from tests.platform.tools import profile

FAKES = Path(__file__).parent.parent / "fakes"
UV = str(Path(sys.executable).parent / "uv")
PATIENT = {
    "AGENTDOCK_NODE_START_TIMEOUT_S": "150",
    **{
        name: os.environ[name]
        for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
        if name in os.environ
    },
}

pytestmark = pytest.mark.slow


async def test_a_server_written_for_mcp_1_works_when_launched_by_uvx(tmp_path: Path) -> None:
    arguments = json.dumps(["--with", "mcp<2", "python", str(FAKES / "mcp1_server.py")])
    old = f'[mcpServers.old]\ncommand = "uvx"\nargs = {arguments}\n'
    async with platform(tmp_path, {"one": old}, **PATIENT) as running:
        answer = await running.call("greet", name="you")
    assert answer.json()["content"] == [{"type": "text", "text": "hello you"}]


async def test_a_javascript_server_works_when_launched_by_npx(tmp_path: Path) -> None:
    need("npx", "install Node.js")
    package = '["-y", "@modelcontextprotocol/server-everything@2025.9.12"]'
    entry = f'[mcpServers.everything]\ncommand = "npx"\nargs = {package}\n'
    async with platform(tmp_path, {"one": entry}, **PATIENT) as running:
        answer = await running.call("everything__echo", message="hello")
    assert "hello" in answer.json()["content"][0]["text"]


@pytest.mark.parametrize(
    ("path", "tool"), [("/sse", "tools__echo"), ("/servers/tools/sse", "echo")]
)
async def test_an_mcp_1_client_works_over_sse_on_manager_and_node(
    tmp_path: Path, path: str, tool: str
) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        for base in (running.url, f"http://127.0.0.1:{running.ports['one']}"):
            command = [
                *(UV, "run", "--no-project", "--with", "mcp<2", "python"),
                *(str(FAKES / "mcp1_client.py"), f"{base}{path}", tool, '{"text": "hello"}'),
            ]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=150, check=False
            )
            assert done.returncode == 0, done.stderr
            answer = json.loads(done.stdout)
            assert tool in answer["tools"]
            assert answer["text"] == "hello"
