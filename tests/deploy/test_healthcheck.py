"""The health check of the images, against real servers."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from tests.guards.source import ROOT
from tests.ports import free_ports

SCRIPT = ROOT / "deploy" / "healthcheck.py"


def check(port: int) -> int:
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(port)]
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
