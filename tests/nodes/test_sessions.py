"""One process for each owner: whose it is, how long it lives, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nodes.entries import Entry
from nodes.host import Host
from nodes.sessions import Sessions
from nodes.surroundings import Surroundings
from tests import leaks
from tests.nodes.running import call_of, eventually, nothing, profile_of, scripted, text_of
from wire.errors import CallTimedOut, Overloaded, ServerCrashed, ServerUnavailable
from wire.models import Call, Owner, Scope, ServerState

Start = Callable[..., Awaitable[Sessions]]


def scoped(*options: str, **fields: Any) -> Entry:
    return scripted(*options, scope=Scope.SESSION, **fields)


@pytest.fixture
async def start(surroundings: Surroundings) -> AsyncIterator[Start]:
    units: list[Sessions] = []

    async def begin(entry: Entry | None = None) -> Sessions:
        unit = Sessions(entry or scoped(), surroundings, nothing)
        units.append(unit)
        unit.start()
        async with asyncio.timeout(5):
            await unit.settled.wait()
        return unit

    yield begin
    for unit in units:
        await unit.stop()


async def call(
    unit: Sessions, owner: str, tool: str = "pid", timeout_s: float = 5, **args: Any
) -> str:
    return text_of(await unit.request(call_of(tool, **args), timeout_s, owner))


async def pid(unit: Sessions, owner: str) -> int:
    return int(await call(unit, owner))


async def test_two_owners_never_share_a_process_and_one_keeps_its_own(start: Start) -> None:
    unit = await start()
    owners = ["alice", "alice/s1", "alice/s2", "bob/s1"]
    first = {owner: await pid(unit, owner) for owner in owners}
    assert len(set(first.values())) == 4
    assert {owner: await pid(unit, owner) for owner in owners} == first


async def test_calls_of_an_owner_at_the_same_time_open_one_process(start: Start) -> None:
    unit = await start()
    await pid(unit, "first")
    assert len(set(await asyncio.gather(*(pid(unit, "alice") for _ in range(10))))) == 1


async def test_nothing_but_the_process_that_tells_the_tools_is_opened_before_its_use(
    start: Start,
) -> None:
    unit = await start()
    report = unit.report()
    assert (report.state, len(report.processes)) == (ServerState.READY, 1)
    assert {tool.scope for tool in report.tools} == {Scope.SESSION}
    told = report.processes[0].pid
    assert await pid(unit, "alice") == told
    assert await pid(unit, "bob") != told


async def test_a_session_that_is_idle_for_long_is_closed(start: Start) -> None:
    unit = await start(scoped(session_idle_s=0.2))
    old = await pid(unit, "alice")
    running = asyncio.create_task(call(unit, "bob", "sleep", seconds=0.6))
    await eventually(lambda: not leaks.alive(old))
    assert await running == "slept", "a session with a call in flight is not idle"
    assert await pid(unit, "alice") != old


async def test_a_session_is_closed_on_request_and_nobody_elses(start: Start) -> None:
    unit = await start()
    mine, theirs = await pid(unit, "alice/s1"), await pid(unit, "bob/s1")
    assert await unit.close_session("alice/s1") == 1
    assert await unit.close_session("alice/s1") == 0
    assert not leaks.alive(mine)
    assert await pid(unit, "bob/s1") == theirs


async def test_closing_a_session_fails_what_is_in_flight_there(start: Start) -> None:
    unit = await start()
    running = asyncio.create_task(call(unit, "alice", "sleep", seconds=9))
    await eventually(lambda: unit.in_flight == 1)
    await unit.close_session("alice")
    with pytest.raises(ServerCrashed):
        await running


async def test_a_call_that_takes_too_long_costs_the_session_its_process(start: Start) -> None:
    unit = await start()
    old, other = await pid(unit, "alice"), await pid(unit, "bob")
    with pytest.raises(CallTimedOut):
        await call(unit, "alice", "sleep", 0.1, seconds=9)
    await eventually(lambda: not leaks.alive(old))
    assert await pid(unit, "alice") != old
    assert await pid(unit, "bob") == other


async def test_a_process_that_crashes_is_restarted_for_its_owner_alone(start: Start) -> None:
    unit = await start()
    old, other = await pid(unit, "alice"), await pid(unit, "bob")
    with pytest.raises(ServerCrashed):
        await call(unit, "alice", "die")
    await eventually(lambda: unit.report().restarts == 1)
    await eventually(lambda: all(p.state is ServerState.READY for p in unit.report().processes))
    assert await pid(unit, "alice") not in (old, other)
    assert await pid(unit, "bob") == other


async def test_beyond_the_most_sessions_nothing_is_accepted(start: Start) -> None:
    unit = await start(scoped(max_sessions=2))
    await asyncio.gather(pid(unit, "a"), pid(unit, "b"))
    with pytest.raises(Overloaded, match="max_sessions") as caught:
        await pid(unit, "c")
    assert (caught.value.retry_after_s or 0) > 0
    await pid(unit, "a")
    await unit.close_session("a")
    await pid(unit, "c")


async def test_a_session_whose_process_does_not_start_says_why_and_is_tried_anew(
    start: Start, tmp_path: Path
) -> None:
    unit = await start(scoped("--starts", str(tmp_path / "starts"), "--hang-from", "2"))
    await pid(unit, "first")
    with pytest.raises(ServerUnavailable, match="not ready") as caught:
        await call(unit, "alice", timeout_s=0.1)
    assert (caught.value.retry_after_s or 0) > 0
    await unit.close_session("alice")


async def test_a_server_that_never_starts_fails_as_a_shared_one_does(start: Start) -> None:
    unit = await start(scoped("--crash-on-start", "--say", "no licence"))
    assert unit.state is ServerState.FAILED
    assert "no licence" in (unit.report().error or "")
    with pytest.raises(ServerUnavailable, match="failed"):
        await pid(unit, "alice")


async def test_a_caller_that_is_not_named_is_refused(start: Start) -> None:
    unit = await start()
    with pytest.raises(ServerUnavailable, match="whose call"):
        await unit.request(call_of("pid"), 5)


async def test_a_changed_entry_serves_new_sessions_while_live_ones_go_on(host: Host) -> None:
    host.apply(profile_of(scoped()))
    await eventually(host.tools)
    old = await owned(host, "alice")
    host.apply(profile_of(scoped("--tool", "fresh")))
    await eventually(lambda: "fresh" in [tool.name for tool in host.tools()])
    assert await owned(host, "alice") == old
    assert await owned(host, "bob") != old
    assert leaks.alive(old)
    assert await host.close_session("alice") == 1
    assert not leaks.alive(old)
    assert await owned(host, "alice") != old
    await eventually(lambda: len(host.servers_report()[0].processes) == 2)


def lists(host: Host, name: str) -> bool:
    """Whether a host has a tool of that name."""
    return name in [tool.name for tool in host.tools()]


async def test_sessions_outlive_every_further_change_of_the_entry(host: Host) -> None:
    host.apply(profile_of(scoped()))
    await eventually(host.tools)
    first = await owned(host, "alice")
    for fresh, owner in (("second", "bob"), ("third", "carol")):
        host.apply(profile_of(scoped("--tool", fresh)))
        await eventually(partial(lists, host, fresh))
        await owned(host, owner)
        assert await owned(host, "alice") == first
        if owner == "bob":
            await host.close_session("bob")
    await host.close_session("alice")
    assert not leaks.alive(first)
    await host.close_session("carol")
    await eventually(lambda: not host.servers_report()[0].processes)


async def test_a_removed_entry_finishes_its_calls_and_ends_every_session(host: Host) -> None:
    host.apply(profile_of(scoped()))
    await eventually(host.tools)
    idle = await owned(host, "alice")
    running = asyncio.create_task(host.relay("tools", call_of("sleep", seconds=0.3), 5, "bob"))
    await eventually(lambda: host.in_flight == 1)
    host.apply(profile_of())
    assert b"slept" in await running
    await eventually(lambda: not host.servers_report())
    assert not leaks.alive(idle)


async def test_a_restart_on_request_begins_every_session_anew(host: Host) -> None:
    host.apply(profile_of(scoped()))
    await eventually(host.tools)
    old = await owned(host, "alice")
    host.restart("tools")
    await eventually(lambda: not leaks.alive(old))
    assert await owned(host, "alice") != old


async def test_a_node_that_is_called_directly_knows_the_owner(host: Host) -> None:
    host.apply(profile_of(scoped()))
    await eventually(host.tools)
    answers = [
        (await host.call(Call("tools__pid", {}, Owner("me", session)))).result["content"][0]["text"]
        for session in ("s1", "s2", "s1")
    ]
    assert answers[0] == answers[2] != answers[1]


async def owned(host: Host, owner: str) -> int:
    reply = await host.relay("tools", call_of("pid"), 5, owner)
    return int(reply.split(b'"text": "')[1].split(b'"')[0])


@pytest.mark.slow
async def test_five_hundred_sessions_leave_no_process_no_task_and_no_descriptor(
    start: Start,
) -> None:
    unit = await start(scoped(max_sessions=20, session_idle_s=0.05))
    await pid(unit, "warm")
    await unit.close_session("warm")
    processes, tasks, files = leaks.descendants(), asyncio.all_tasks(), descriptors()

    async def drop(number: int) -> None:
        """Open a Session and drop it: asked to close, timed out, crashed, or left to idle."""
        owner = f"k/s{number}"
        await pid(unit, owner)
        if number % 4 == 0:
            await unit.close_session(owner)
        elif number % 4 == 1:
            with pytest.raises(CallTimedOut):
                await call(unit, owner, "sleep", 0.01, seconds=9)
        elif number % 4 == 2:
            with pytest.raises(ServerCrashed):
                await call(unit, owner, "die")

    for begin in range(0, 500, 10):
        await asyncio.gather(*(drop(number) for number in range(begin, begin + 10)))
        await eventually(lambda: not unit._count())
    assert not leaks.left_since(processes)
    await eventually(lambda: asyncio.all_tasks() <= tasks)
    assert descriptors() <= files


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
