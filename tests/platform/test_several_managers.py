"""Two managers and two nodes on one database, under load, with real processes throughout."""

from __future__ import annotations

import asyncio
import signal
import time
import tomllib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from manager.stores.address import parse
from manager.stores.mongo import MongoStore
from tests.mongodb import MongoServer
from tests.platform.running import RunningPlatform, eventually
from tests.platform.tools import entry, profile
from tests.ports import free_ports

pytestmark = pytest.mark.slow

SECOND = "second manager"


class SeveralManagers(RunningPlatform):
    """A platform with a second manager; each node joins another one of them first."""

    def __init__(self, folder: Path, store_url: str) -> None:
        super().__init__(folder, AGENTDOCK_MANAGER_STORE_URL=store_url)
        self.second_port = free_ports(1)[0]
        self.urls = (self.url, f"http://127.0.0.1:{self.second_port}")

    def start_second(self) -> None:
        """Start the second manager, also again."""
        self.start_manager(SECOND, self.second_port)

    async def known(self, url: str) -> dict[str, Any]:
        """Return what one manager knows of the nodes, by id."""
        answer = await self.client.get(f"{url}/v1/nodes")
        return {node["id"]: node for node in answer.json()["nodes"]}

    async def states(self, url: str) -> dict[str, str]:
        return {node_id: node["state"] for node_id, node in (await self.known(url)).items()}

    async def everywhere(self, states: dict[str, str], seconds: float) -> None:
        """Wait until every manager knows just these nodes in these states."""

        async def agreed() -> bool:
            return all([await self.states(url) == states for url in self.urls])

        await eventually(agreed, seconds)

    async def all_plugged(self) -> None:
        """Wait until every manager knows every tool server of its nodes as ready."""

        async def plugged() -> bool:
            nodes = [node for url in self.urls for node in (await self.known(url)).values()]
            servers = [node["servers"] for node in nodes]
            return all(servers) and all(s["state"] == "ready" for some in servers for s in some)

        await eventually(plugged, 20)


@asynccontextmanager
async def two_managers(folder: Path) -> AsyncIterator[SeveralManagers]:
    """Run two managers and the nodes `one` and `two`, all of them ready."""
    server = MongoServer(folder / "mongo", "--sync-on-commit").start()
    running = SeveralManagers(folder, server.url("platform"))
    try:
        running.start_manager()
        running.start_second()
        for node_id, order in (("one", running.urls), ("two", running.urls[::-1])):
            running.join = ",".join(order)
            running.start_node(node_id, profile(idempotent=["echo"]))
        await running.everywhere({"one": "ready", "two": "ready"}, 30)
        await running.all_plugged()
        yield running
    finally:
        await running.stop()
        server.kill()


async def call(running: SeveralManagers, url: str) -> str:
    """Call a tool through one manager; return the node that ran it, or what went wrong."""
    try:
        answer = await running.client.post(
            f"{url}/v1/tools/echo/call", json={"arguments": {"text": "x"}}, timeout=20
        )
    except httpx.TransportError:
        return "unreachable"
    return str(answer.json().get("node") or answer.text)


async def test_the_death_of_one_manager_under_load_loses_nothing_on_the_other(
    tmp_path: Path,
) -> None:
    async with two_managers(tmp_path) as running:
        results: dict[str, Counter[str]] = {url: Counter() for url in running.urls}
        over = asyncio.Event()

        async def load(url: str) -> None:
            while not over.is_set():
                results[url][await call(running, url)] += 1
                await asyncio.sleep(0.02)

        tasks = [asyncio.create_task(load(url)) for url in running.urls for _ in range(10)]
        dead, other = running.urls
        await eventually(lambda: _served(results, 300))
        assert all(set(counted) == {"one", "two"} for counted in results.values())
        running.kill("manager")
        before = results[other].total()
        await eventually(lambda: _served({other: results[other]}, before + 300))
        # Node `one` reported to the dead manager, and turns to the other one.
        await eventually(lambda: _fresh(running, other, "one"), 5)
        running.processes["manager"].wait()
        running.start_manager()
        await running.everywhere({"one": "ready", "two": "ready"}, 20)
        over.set()
        await asyncio.gather(*tasks)
        answers = await running.client.get(f"{other}/v1/calls?limit=1000")
    assert set(results[other]) == {"one", "two"}
    # One that has just started knows from the store which tools there are, and soon on which nodes.
    assert {"one", "two", "unreachable"} <= set(results[dead])
    others = set(results[dead]) - {"one", "two", "unreachable"}
    assert all("no_node" in problem for problem in others), others
    assert answers.status_code == 200
    kept = await _records(tmp_path)
    assert kept >= results[other].total()


async def _served(results: dict[str, Counter[str]], number: int) -> bool:
    return all(counted.total() >= number for counted in results.values())


async def _fresh(running: SeveralManagers, url: str, node_id: str) -> bool:
    return bool((await running.known(url))[node_id]["silent_s"] < 1.0)


async def _records(folder: Path) -> int:
    """Count the call records that the managers wrote, after their end."""
    server = MongoServer(folder / "mongo").start()
    store = MongoStore(parse(server.url("platform")))
    await store.open()
    try:
        return len(await store.calls(1_000_000))
    finally:
        await store.close()
        server.kill()


async def test_what_a_node_reports_reaches_every_manager_within_2_s(tmp_path: Path) -> None:
    async with two_managers(tmp_path) as running:
        for name in ("first", "second"):
            path = tmp_path / "one.toml"
            path.write_text(profile() + entry(name))
            seen = await asyncio.gather(
                *(_when_plugged(running, url, name) for url in running.urls)
            )
            assert abs(seen[0] - seen[1]) < 2


async def _when_plugged(running: SeveralManagers, url: str, name: str) -> float:
    async def plugged() -> bool:
        servers = (await running.known(url))["one"]["servers"]
        return any(server["name"] == name and server["state"] == "ready" for server in servers)

    await eventually(plugged, 20)
    return time.monotonic()


async def test_a_node_that_dies_or_leaves_does_so_on_every_manager(tmp_path: Path) -> None:
    async with two_managers(tmp_path) as running:
        running.kill("one")
        running.processes["one"].wait()
        await running.everywhere({"one": "lost", "two": "ready"}, 5)
        running.kill("two", signal.SIGTERM)
        await asyncio.to_thread(running.processes["two"].wait, 20)
        await running.everywhere({"one": "lost"}, 2)
        running.start_node("one", profile())
        await running.everywhere({"one": "ready"}, 20)
        await running.all_plugged()
        assert [await call(running, url) for url in running.urls] == ["one", "one"]


async def test_what_is_registered_with_one_manager_is_served_and_taken_back_by_the_other(
    tmp_path: Path,
) -> None:
    async with two_managers(tmp_path) as running:
        first, second = running.urls
        program = tomllib.loads(profile())["mcpServers"]["tools"]
        body = {"name": "dice", "profile": "*", "entry": program}
        made = await running.client.post(f"{first}/v1/servers", json=body)
        states = {node: told["state"] for node, told in made.json()["nodes"].items()}
        assert states == {"one": "ready", "two": "ready"}, made.text

        async def answers(url: str, status: int) -> bool:
            called = await running.client.post(
                f"{url}/v1/tools/dice__echo/call", json={"arguments": {"text": "x"}}
            )
            known = await running.client.get(f"{url}/v1/export?name=dice")
            return (called.status_code, known.status_code) == (status, status)

        await eventually(lambda: answers(second, 200), 2)
        gone = await running.client.delete(f"{second}/v1/servers/dice")
        assert gone.status_code == 200, gone.text
        await eventually(lambda: answers(first, 404), 2)
        again = await running.client.post(f"{first}/v1/servers", json=body)
        assert again.status_code == 201, again.text
        await eventually(lambda: answers(second, 200), 2)
