"""Session-scoped tool servers through the whole platform: one manager, two nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.platform.running import RunningPlatform, eventually, platform
from tests.platform.tools import profile

pytestmark = pytest.mark.slow


async def call(running: RunningPlatform, session: str, tool: str = "pid") -> httpx.Response:
    return await running.client.post(
        f"/v1/tools/{tool}/call", json={}, headers={"X-Session-Id": session}
    )


async def place(running: RunningPlatform, session: str) -> tuple[str, str]:
    """Return the node and the process that serve a Session."""
    body = (await call(running, session)).json()
    return body["node"], body["content"][0]["text"]


async def test_each_session_has_a_process_of_its_own_on_one_node_until_it_is_closed(
    tmp_path: Path,
) -> None:
    tools = profile() + 'scope = "session"\nmax_sessions = 20\n'
    async with platform(tmp_path, {"one": tools, "two": tools}) as running:
        names = [f"s{number}" for number in range(16)]
        first = dict(
            zip(names, await asyncio.gather(*(place(running, n) for n in names)), strict=True)
        )
        again = {name: await place(running, name) for name in names}
        assert first == again
        assert len(set(first.values())) == 16
        assert {node for node, _ in first.values()} == {"one", "two"}
        closed = (await running.client.delete("/v1/sessions/s0")).json()
        assert sum(closed["closed"].values()) == 1
        assert closed["failed"] == {}
        assert (await place(running, "s0"))[1] != first["s0"][1]
        assert await place(running, "s1") == first["s1"]


async def test_a_node_that_joins_moves_no_session(tmp_path: Path) -> None:
    tools = profile() + 'scope = "session"\nmax_sessions = 30\n'
    async with platform(tmp_path, {"one": tools}) as running:
        first = {f"s{n}": await place(running, f"s{n}") for n in range(8)}
        running.start_node("two", tools)
        await running.ready("one", "two")
        assert {name: await place(running, name) for name in first} == first
        new = {(await place(running, f"t{n}"))[0] for n in range(8)}
        assert "two" in new


async def test_a_lost_node_costs_only_its_own_sessions_their_process(tmp_path: Path) -> None:
    tools = profile() + 'scope = "session"\n'
    async with platform(tmp_path, {"one": tools, "two": tools}) as running:
        first = {f"s{n}": await place(running, f"s{n}") for n in range(8)}
        running.kill("one")

        async def all_served() -> bool:
            answers = [(await call(running, name)).status_code for name in first]
            return answers == [200] * len(answers)

        await eventually(all_served, 10)
        after = {name: await place(running, name) for name in first}
    assert {node for node, _ in after.values()} == {"two"}
    stayed = {name: spot for name, spot in first.items() if spot[0] == "two"}
    assert stayed
    assert {name: after[name] for name in stayed} == stayed
