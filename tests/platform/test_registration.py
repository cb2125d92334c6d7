"""Registering tool servers with a whole platform: plugged in, called, kept, taken back."""

from __future__ import annotations

import asyncio
import signal
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.platform.running import RunningPlatform, eventually, platform
from tests.platform.tools import entry, profile

pytestmark = pytest.mark.slow

PROGRAM: dict[str, Any] = tomllib.loads(profile())["mcpServers"]["tools"]
WRONG: dict[str, Any] = {"command": "python", "args": ["-c", "raise SystemExit('no dice today')"]}


async def post(running: RunningPlatform, name: str, **fields: Any) -> httpx.Response:
    body = {"name": name, "profile": "one", "entry": PROGRAM} | fields
    return await running.client.post("/v1/servers", json=body)


async def serves(running: RunningPlatform, server: str) -> bool:
    return (await running.call(f"{server}__echo", text="hello")).status_code == 200


async def test_a_registered_tool_server_outlives_its_manager_and_its_node(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile(), "two": profile()}) as running:
        made = (await post(running, "dice")).json()
        assert made["nodes"]["one"]["state"] == "ready", made
        assert "echo" in made["nodes"]["one"]["tools"]
        assert list(made["nodes"]) == ["one"]
        assert await serves(running, "dice")

        await end(running, "manager")
        running.start_manager()
        await eventually(lambda: serves(running, "dice"), 20)

        await end(running, "one")
        running.start_node("one", profile())
        await eventually(lambda: serves(running, "dice"), 20)

        gone = await running.client.delete("/v1/servers/dice")
        assert gone.json()["nodes"]["one"]["state"] in ("unplugged", "draining")
        assert not await serves(running, "dice")


async def end(running: RunningPlatform, name: str) -> None:
    running.kill(name)
    await asyncio.to_thread(running.processes[name].wait, 10)


async def test_what_goes_wrong_is_told_for_each_node(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile(), "two": profile()}) as running:
        conflict = await post(running, "tools")
        assert conflict.status_code == 409
        assert "one.toml" in conflict.json()["detail"]

        made = (await post(running, "dice", profile="*", entry=WRONG)).json()
        assert sorted(made["nodes"]) == ["one", "two"]
        for node in made["nodes"].values():
            assert node["state"] in ("backing_off", "failed")
            assert "no dice today" in node["error"]

        right = {"profile": "*", "entry": PROGRAM}
        put = await running.client.put("/v1/servers/dice", json=right)
        assert {n["state"] for n in put.json()["nodes"].values()} == {"ready"}, put.text
        wrong = {"profile": "*", "entry": WRONG}
        bad = await running.client.put("/v1/servers/dice", json=wrong)
        for node in bad.json()["nodes"].values():
            assert node["state"] == "ready"
            assert "the old one stays" in node["error"]
        assert await serves(running, "dice")


async def test_a_file_that_defines_a_registered_name_counts(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        assert (await post(running, "dice")).status_code == 201
        (tmp_path / "one.toml").write_text(profile() + entry("dice"))

        async def shadowed() -> bool:
            node = (await running.nodes())["one"]
            sources = {server["name"]: server["source"] for server in node["servers"]}
            said = any("over the API" in problem for problem in node["problems"])
            return said and sources["dice"].endswith("one.toml")

        await eventually(shadowed)
        assert (await running.client.delete("/v1/servers/dice")).status_code == 200
        assert await serves(running, "dice")
        assert (await running.client.delete("/v1/servers/dice")).status_code == 409


async def test_a_stopped_node_delays_the_answer_only_so_long(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile(), "two": profile()}) as running:
        running.kill("two", signal.SIGSTOP)
        made = (await post(running, "dice", profile="*")).json()
        assert made["nodes"]["one"]["state"] == "ready"
        assert made["nodes"]["two"]["error"]
        running.kill("two", signal.SIGCONT)

        async def everywhere() -> bool:
            nodes = (await running.nodes()).values()
            ready = [s["name"] for n in nodes for s in n["servers"] if s["state"] == "ready"]
            return ready.count("dice") == 2

        await eventually(everywhere, 20)
