"""Plugging tool servers while calls run, through the whole platform."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.platform.running import RunningPlatform, eventually, platform
from tests.platform.tools import entry, profile

pytestmark = pytest.mark.slow


async def test_a_thousand_calls_in_flight_do_not_notice_a_hot_plug(tmp_path: Path) -> None:
    start = profile() + entry("leaving")
    async with platform(tmp_path, {"one": start}) as running:
        path = tmp_path / "one.toml"
        before = await running.servers("one")
        calls = [
            asyncio.create_task(_bare_call(running.port, f"{server}__sleep", b'{"seconds": 4}'))
            for server in ("tools", "leaving")
            for _ in range(500)
        ]
        await eventually(lambda: _in_flight(running, 1000), 20)
        path.write_text(profile() + entry("arriving"))
        await eventually(lambda: _has_tool(running, "arriving__echo"), 5)
        during = await running.call("arriving__echo", text="new")
        answers = await asyncio.gather(*calls)
        await eventually(lambda: _servers_are(running, {"tools", "arriving"}), 5)
        after = await running.servers("one")
    assert during.status_code == 200
    wrong = [answer for answer in answers if b" 200 " not in answer or b"slept" not in answer]
    assert wrong == []
    assert before["tools"]["pid"] == after["tools"]["pid"]


async def test_a_broken_entry_is_reported_and_everything_else_stays(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        before = await running.servers("one")
        (tmp_path / "one.toml").write_text(profile() + "[mcpServers.broken]\ncomand = 'x'\n")
        await eventually(lambda: _mentions(running, "comand"), 5)
        assert (await running.call("echo", text="hi")).status_code == 200
        assert (await running.servers("one"))["tools"]["pid"] == before["tools"]["pid"]


@pytest.mark.parametrize("text", ["[mcpServers.tools\ncommand =", "", "[other]\na = 1\n"])
async def test_a_broken_file_is_reported_and_everything_stays(tmp_path: Path, text: str) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        before = await running.servers("one")
        (tmp_path / "one.toml").write_text(text)
        await eventually(lambda: _has_problem(running), 5)
        assert (await running.call("echo", text="hi")).status_code == 200
        assert (await running.servers("one"))["tools"]["pid"] == before["tools"]["pid"]


async def _bare_call(port: int, tool: str, arguments: bytes) -> bytes:
    """Return the whole answer to a call; a thousand httpx calls at once take half a minute."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"arguments": %b}' % arguments
    head = (
        f"POST /v1/tools/{tool}/call HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    return answer


async def _in_flight(running: RunningPlatform, count: int) -> bool:
    servers = await running.servers("one")
    return count == sum(int(server["in_flight"]) for server in servers.values())


async def _has_tool(running: RunningPlatform, name: str) -> bool:
    tools = (await running.client.get("/v1/tools")).json()["tools"]
    return name in [tool["name"] for tool in tools]


async def _servers_are(running: RunningPlatform, names: set[str]) -> bool:
    return set(await running.servers("one")) == names


async def _mentions(running: RunningPlatform, text: str) -> bool:
    answers = [await running.client.get(path) for path in ("/v1/nodes", "/v1/servers")]
    return all(text in answer.text for answer in answers)


async def _has_problem(running: RunningPlatform) -> bool:
    return bool((await running.nodes())["one"]["problems"])
