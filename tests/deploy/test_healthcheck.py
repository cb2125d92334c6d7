"""The health check of the images, against real servers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.guards.source import ROOT
from tests.platform.running import eventually, platform
from tests.platform.tools import entry
from tests.ports import free_ports

SCRIPT = ROOT / "deploy" / "healthcheck.py"


def check(port: int, *more: str) -> int:
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(port), *more]
    return subprocess.run(command, check=False, timeout=20).returncode


@pytest.mark.parametrize(("status", "code"), [("200 OK", 0), ("503 Service Unavailable", 1)])
async def test_it_tells_by_the_status_whether_calls_can_be_taken(status: str, code: int) -> None:
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await asyncio.to_thread(check, port) == code
    assert asked[0].startswith(b"GET /readyz HTTP/1.1\r\n")


def test_nobody_there_is_not_ready() -> None:
    assert check(free_ports(1)[0]) == 1


@pytest.mark.slow
async def test_a_node_whose_tool_servers_still_start_is_not_settled(tmp_path: Path) -> None:
    hurried = {"AGENTDOCK_NODE_START_TIMEOUT_S": "8", "AGENTDOCK_NODE_RESTART_GIVE_UP": "1"}
    async with platform(tmp_path, {}, **hurried) as running:
        running.start_node("one", entry("quick") + entry("slow", "--hang-at-start"))

        async def passes(*asked: str) -> bool:
            return not await asyncio.to_thread(check, running.ports["one"], *asked)

        async def states() -> list[str]:
            return [server["state"] for server in (await running.servers("one")).values()]

        await eventually(passes, 20)
        assert not await passes("settled")
        assert await states() == ["ready", "starting"]
        await eventually(partial(passes, "settled"), 20)
        assert await states() == ["ready", "failed"]
