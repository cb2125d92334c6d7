"""Profiles for platform tests: scripted tool servers, whose tools tests call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.platform.running import RunningPlatform

SERVER = Path(__file__).parent.parent / "fakes" / "scripted_server.py"


def entry(name: str, *options: str, idempotent: Sequence[str] = ()) -> str:
    """Return the entry of a scripted tool server as TOML."""
    return (
        f"[mcpServers.{name}]\n"
        'command = "python"\n'
        f"args = {json.dumps([str(SERVER), *options])}\n"
        f"[mcpServers.{name}.agentdock]\n"
        f"idempotent = {json.dumps(list(idempotent))}\n"
    )


def profile(*options: str, idempotent: Sequence[str] = ()) -> str:
    """Return a profile with one scripted tool server, named `tools`."""
    return entry("tools", *options, idempotent=idempotent)


def files_profile(*options: str, extra: str = "") -> str:
    """Return a profile with one tool server, named `box`, that serves files."""
    return (
        "[mcpServers.box]\n"
        'command = "python"\n'
        f"args = {json.dumps(['-m', 'tests.fakes.files_tool_server', *options])}\n"
        "[mcpServers.box.agentdock]\n"
        'files = true\naffinity = "sandbox_id"\n' + extra
    )


async def open_sandbox(running: RunningPlatform, headers: dict[str, str] | None = None) -> str:
    """Open a sandbox of `box` and return its handle."""
    answer = await running.client.post(
        "/v1/tools/open_sandbox/call", json={}, headers=headers or {}
    )
    return str(answer.json()["content"][0]["text"])
