"""Scripted tool servers for tests of the node, and bounded waits."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from nodes.channel import Reply
from nodes.entries import Entry
from nodes.environment import PROJECT_ROOT, base_environment
from nodes.files_socket import FilesPlaces
from nodes.profile import Profile
from nodes.restarts import RestartPolicy
from nodes.supervisor import Supervisor
from nodes.surroundings import Surroundings

SCRIPTED = PROJECT_ROOT / "tests" / "fakes" / "scripted_server.py"
QUICK = RestartPolicy(base_s=0.01, max_s=0.02, reset_s=60, give_up=3)
WAIT_S = 5.0


class Supervise(Protocol):
    """Starts a supervisor for an entry."""

    def __call__(self, entry: Entry, around: Surroundings = ...) -> Supervisor: ...


def nothing(*_: object) -> None:
    """Be told something, and do nothing."""


def surroundings_in(folder: Path, **changes: Any) -> Surroundings:
    """Return surroundings without patience, with logs under `folder`."""
    settings: dict[str, Any] = {
        "node_id": "node-1",
        "run": f"test-{os.urandom(8).hex()}",
        "logs": folder / "logs",
        "base_env": base_environment(os.environ),
        "files": FilesPlaces(folder / "data", "node-1"),
        "policy": QUICK,
        "start_timeout_s": 5.0,
        "stop_grace_s": 0.2,
    }
    return Surroundings(**(settings | changes))


def scripted(*options: str, name: str = "tools", **fields: Any) -> Entry:
    """Return the entry of a scripted server."""
    quick = () if "--sdk" in options else ("-I", "-S")
    values: dict[str, Any] = {
        "command": sys.executable,
        "args": (*quick, str(SCRIPTED), *options),
        "cwd": PROJECT_ROOT,
        "env": {},
    }
    return Entry(name=name, **(values | fields))


def profile_of(*entries: Entry, **faults: str) -> Profile:
    """Return a profile as if it had been read."""
    return Profile({entry.name: entry for entry in entries}, faults)


def call_of(tool: str, **arguments: Any) -> bytes:
    """Return the params of a `tools/call`."""
    return json.dumps({"name": tool, "arguments": arguments}).encode()


def text_of(reply: Reply | dict[str, Any]) -> str:
    """Return the first text of a response."""
    message = reply.message if isinstance(reply, Reply) else reply
    return str(message["result"]["content"][0]["text"])


async def eventually(condition: Callable[[], object], seconds: float = WAIT_S) -> None:
    """Return when `condition` is true.

    Raises:
        TimeoutError: it was not within `seconds`.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what is awaited is in other processes
            await asyncio.sleep(0.005)


async def settled(supervisor: Supervisor) -> Supervisor:
    """Wait until a supervisor is ready or has given up."""
    async with asyncio.timeout(WAIT_S):
        await supervisor.settled.wait()
    return supervisor
