"""The database goes away, hangs and comes back, with real processes throughout: calls go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.mongodb import MongoServer
from tests.platform.running import RunningPlatform, eventually, platform
from tests.platform.tools import profile

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> MongoServer:
    """A server that is not started yet; one that is killed never outlives its test."""
    return MongoServer(tmp_path / "mongo", "--sync-on-commit")


@pytest.fixture(autouse=True)
async def ended(database: MongoServer) -> AsyncIterator[None]:
    yield
    database.kill()


async def readiness(running: RunningPlatform) -> tuple[int, dict[str, Any]]:
    answer = await running.client.get("/readyz", timeout=2)
    return answer.status_code, answer.json()


def says(running: RunningPlatform, status: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        code, body = await readiness(running)
        assert code == 200, body
        return bool(body["status"] == status)

    return check


async def recorded(running: RunningPlatform) -> int:
    answer = await running.client.get("/v1/calls?limit=1000")
    return len(answer.json()["calls"]) if answer.status_code == 200 else -1


async def calls_succeed(running: RunningPlatform, number: int) -> float:
    """Make calls, all of which succeed; return the seconds that the slowest one took."""

    async def timed() -> float:
        started = time.monotonic()
        answer = await running.call("echo", text="x")
        assert answer.status_code == 200, answer.text
        return time.monotonic() - started

    return max([await timed() for _ in range(number)])


async def test_a_manager_starts_and_serves_without_its_database_and_then_finds_it(
    tmp_path: Path, database: MongoServer
) -> None:
    url = database.url("platform")
    async with platform(tmp_path, {"one": profile()}, AGENTDOCK_MANAGER_STORE_URL=url) as running:
        code, body = await readiness(running)
        assert (code, body["status"]) == (200, "degraded")
        assert any("store: " in reason and "refused" in reason for reason in body["reasons"])
        await calls_succeed(running, 20)
        refused = await running.client.get("/v1/calls")
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        database.start()
        await eventually(says(running, "ready"), 10)
        assert await recorded(running) == 20


async def test_a_database_that_dies_in_mid_call_costs_no_call_and_no_record(
    tmp_path: Path, database: MongoServer
) -> None:
    database.start()
    url = database.url("platform")
    async with platform(tmp_path, {"one": profile()}, AGENTDOCK_MANAGER_STORE_URL=url) as running:
        await eventually(says(running, "ready"), 10)
        for life in range(1, 3):
            long = [asyncio.create_task(running.call("sleep", seconds=2)) for _ in range(5)]
            await calls_succeed(running, 20)
            await asyncio.to_thread(database.kill)
            await eventually(says(running, "degraded"), 10)
            assert await calls_succeed(running, 20) < 1
            assert {answer.status_code for answer in await asyncio.gather(*long)} == {200}
            assert (await running.nodes())["one"]["state"] == "ready"
            await asyncio.to_thread(database.start)
            await eventually(says(running, "ready"), 10)
            assert await recorded(running) == 45 * life


async def test_a_database_that_hangs_slows_no_call_and_not_the_word_on_readiness(
    tmp_path: Path, database: MongoServer
) -> None:
    database.start()
    url = database.url("platform")
    async with platform(tmp_path, {"one": profile()}, AGENTDOCK_MANAGER_STORE_URL=url) as running:
        await eventually(says(running, "ready"), 10)
        database.freeze()
        slowest = 0.0
        until = time.monotonic() + 8
        while time.monotonic() < until:
            assert await calls_succeed(running, 5) < 1
            started = time.monotonic()
            await readiness(running)
            slowest = max(slowest, time.monotonic() - started)
        assert slowest < 1.5
        assert (await running.nodes())["one"]["state"] == "ready"
        code, body = await readiness(running)
        assert (code, body["status"]) == (200, "degraded")
        database.thaw()
        await eventually(says(running, "ready"), 10)


async def test_a_database_that_dies_in_mid_registration_loses_none_that_was_answered(
    tmp_path: Path, database: MongoServer
) -> None:
    database.start()
    url = database.url("platform")
    async with platform(tmp_path, {"one": profile()}, AGENTDOCK_MANAGER_STORE_URL=url) as running:
        await eventually(says(running, "ready"), 10)
        answers: dict[str, int] = {}

        async def register(name: str) -> None:
            body = {"name": name, "profile": "*", "entry": {"command": "x", "enabled": False}}
            answer = await running.client.post("/v1/servers?wait_s=0", json=body)
            answers[name] = answer.status_code
            if answer.status_code != 201:
                assert answer.json()["code"] == "store_unavailable"

        async def register_on() -> None:
            for number in range(400):
                await register(f"n{number}")

        work = asyncio.create_task(register_on())
        await eventually(lambda: _holds(len(answers) >= 20))
        await asyncio.to_thread(database.kill)
        await work
        made = {name for name, status in answers.items() if status == 201}
        assert set(answers.values()) == {201, 503}
        assert await calls_succeed(running, 20) < 1
        running.kill("manager")
        await asyncio.to_thread(running.processes["manager"].wait, 10)
        await asyncio.to_thread(database.start)
        running.start_manager()
        await eventually(lambda: _knows(running.client, made), 20)


async def _holds(condition: bool) -> bool:
    return condition


async def _knows(client: httpx.AsyncClient, names: set[str]) -> bool:
    exported = (await client.get("/v1/export")).json()["mcpServers"]
    return names <= set(exported)


async def test_the_password_of_the_store_shows_nowhere(
    tmp_path: Path, database: MongoServer
) -> None:
    url = database.url("platform").replace("//", "//alice:very-secret@")
    async with platform(
        tmp_path,
        {"one": profile()},
        AGENTDOCK_MANAGER_STORE_URL=url,
        AGENTDOCK_LOG_LEVEL="DEBUG",
    ) as running:
        texts = [(await running.client.get(path)).text for path in ("/readyz", "/health")]
        texts.append((await running.client.get("/v1/calls")).text)
        # The server is there now, and knows nobody of that name.
        database.start()
        await eventually(lambda: _refused(running.client), 10)
        texts.append((await running.client.get("/readyz")).text)
        texts.append((tmp_path / "manager" / "log").read_text())
    assert all("very-secret" not in text for text in texts)
    assert "127.0.0.1" in texts[0]


async def _refused(client: httpx.AsyncClient) -> bool:
    return "uthenticat" in (await client.get("/readyz")).text
