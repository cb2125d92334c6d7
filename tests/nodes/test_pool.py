"""A pool of processes: each kept alive by itself, all of them sharing the calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from nodes.entries import Entry
from nodes.host import Host
from nodes.pool import Pool
from nodes.surroundings import Surroundings
from tests.nodes.running import call_of, eventually, nothing, profile_of, scripted, text_of
from wire.errors import Overloaded, ServerCrashed, ServerUnavailable
from wire.models import ServerState

Start = Callable[[Entry], Awaitable[Pool]]


@pytest.fixture
async def start(surroundings: Surroundings) -> AsyncIterator[Start]:
    pools: list[Pool] = []

    async def begin(entry: Entry) -> Pool:
        pool = Pool(entry, surroundings, nothing)
        pools.append(pool)
        pool.start()
        async with asyncio.timeout(5):
            await pool.settled.wait()
        return pool

    yield begin
    for pool in pools:
        await pool.stop()


async def call(pool: Pool, tool: str, **arguments: Any) -> str:
    return text_of(await pool.request(call_of(tool, **arguments), 5))


def pids(pool: Pool) -> set[int | None]:
    return {process.pid for process in pool.report().processes}


async def test_calls_at_the_same_time_are_spread_over_the_processes(start: Start) -> None:
    pool = await start(scripted(processes=3))
    assert len(pids(pool)) == 3
    running = [asyncio.create_task(call(pool, "sleep", seconds=0.3)) for _ in range(9)]
    await eventually(lambda: pool.in_flight == 9)
    assert [process.in_flight for process in pool.report().processes] == [3, 3, 3]
    assert Counter(await asyncio.gather(*running)) == {"slept": 9}


async def test_a_process_that_dies_is_restarted_while_the_others_serve(start: Start) -> None:
    pool = await start(scripted(processes=2))
    before = pids(pool)
    with pytest.raises(ServerCrashed):
        await call(pool, "die")
    assert pool.state is ServerState.READY
    assert await call(pool, "echo", text="on") == "on"
    await eventually(lambda: pool.report().restarts == 1)
    await eventually(lambda: len(pids(pool) - {None}) == 2)
    assert len(pids(pool) & before) == 1


async def test_a_pool_that_is_full_refuses_before_anything_is_accepted(start: Start) -> None:
    pool = await start(scripted(processes=2, max_in_flight=1))
    running = [asyncio.create_task(call(pool, "sleep", seconds=0.5)) for _ in range(2)]
    await eventually(lambda: pool.in_flight == 2)
    with pytest.raises(Overloaded, match="max_in_flight") as caught:
        await call(pool, "echo")
    assert (caught.value.retry_after_s or 0) > 0
    await asyncio.gather(*running)
    assert await call(pool, "echo", text="room") == "room"


async def test_a_pool_of_which_nothing_starts_fails_with_the_reason_once(start: Start) -> None:
    pool = await start(scripted("--crash-on-start", "--say", "no licence", processes=2))
    report = pool.report()
    assert report.state is ServerState.FAILED
    assert (report.error or "").count("no licence") == 1
    assert report.tools == []
    with pytest.raises(ServerUnavailable):
        await call(pool, "echo")


async def test_a_changed_pool_takes_over_without_a_gap(host: Host) -> None:
    host.apply(profile_of(scripted(processes=2)))
    await eventually(host.tools)
    host.apply(profile_of(scripted("--tool", "fresh", processes=3)))
    while "fresh" not in [tool.name for tool in host.tools()]:
        await host.relay("tools", call_of("echo"), 5)
    [report] = [report for report in host.servers_report() if report.name == "tools"]
    assert len(report.processes) == 3
