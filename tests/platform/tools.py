"""Profiles for platform tests: scripted tool servers, whose tools tests call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

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
