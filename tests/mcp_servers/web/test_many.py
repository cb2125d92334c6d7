"""Many callers at a time: the slow delay nobody, sites are spared, and memory stays bounded."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client

from mcp_servers.fetching.errors import TooLarge
from mcp_servers.web.body import LARGE_AT_A_TIME, SMALL, Bodies, Body
from tests import leaks
from tests.fakes.scripted_api import Asked, ScriptedApi, scripted_api
from tests.guards.source import ROOT
from tests.mcp_servers.web.running import PAGE, fields, running, settings_in, text

SITES = 20
LARGE = PAGE + b"<!--" + b"x" * 3 * SMALL + b"-->"
"""A page that has to wait for one of the places of large bodies."""

GROWTH = 200_000_000
"""Most bytes by which the server may grow while it reads all pages.

Six fetches of each of six sites with large pages run at a time, and hold 1 MB each before they
ask for a place: 36 MB. The eight that have one hold 3 MB each, up to three times (as it came, as a
whole, on its way to a worker): 72 MB. The rest is what an allocator keeps. Without places, it
grows by 400 MB.
"""


@pytest.mark.slow
async def test_two_hundred_readings_of_which_a_tenth_is_slow_do_not_delay_the_rest(
    tmp_path: Path,
) -> None:
    """A server by itself, as it is delivered: no limit towards sites is lifted."""
    async with AsyncExitStack() as stack:
        sites = [await stack.enter_async_context(scripted_api()) for _ in range(SITES)]
        slow, large = sites[:: SITES // 2], sites[1:7]
        for site in sites:
            site.say(200, LARGE if site in large else PAGE, "Content-Type: text/html")
        held = [site.hold() for site in slow]
        client, pid = await stack.enter_async_context(a_server(tmp_path, sites))

        async def read(number: int) -> Any:
            url = f"{sites[number % SITES].url}/{number}"
            return await client.call_tool("scrape_website", {"url": url})

        assert not (await read(1)).is_error
        before = memory(pid, "VmRSS")
        readings = {number: asyncio.create_task(read(number)) for number in range(200)}
        waiting = [task for number, task in readings.items() if sites[number % SITES] in slow]
        rest = [task for task in readings.values() if task not in waiting]
        assert (len(waiting), len(rest)) == (20, 180)
        done, _ = await asyncio.wait(rest, timeout=25)
        assert len(done) == 180
        assert not any(task.done() for task in waiting)
        for event in held:
            event.set()
        results = await asyncio.gather(*readings.values())
        grown = memory(pid, "VmHWM") - before
    assert [text(result) for result in results if result.is_error] == []
    assert [len(site.asked) for site in slow] == [10, 10]
    assert grown < GROWTH


@asynccontextmanager
async def a_server(folder: Path, sites: list[ScriptedApi]) -> AsyncIterator[tuple[Client, int]]:
    """Run the server as a process that may read these sites; give a client, and its id."""
    environ = {
        "PATH": os.environ["PATH"],
        "WEB_CACHE_DIR": str(folder),
        "BROWSER_ENABLED": "false",
        "FETCH_ALLOWED_HOSTS": ",".join(site.host for site in sites),
    }
    program = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_servers.web"], env=environ, cwd=ROOT
    )
    before = leaks.descendants()
    async with Client(program, mode="legacy") as client:
        new = leaks.descendants() - before
        [pid] = [it for it in new if "-m mcp_servers.web" in leaks.command(it)]
        yield client, pid


def memory(pid: int, which: str) -> int:
    """Return what the kernel says of a process's memory, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{which}:")]
    return int(line.split()[1]) * 1024


async def test_no_more_requests_reach_a_site_at_a_time_than_a_setting_says(tmp_path: Path) -> None:
    async with scripted_api() as site:
        site.say(200, PAGE, "Content-Type: text/html")
        held = site.hold()
        settings = settings_in(tmp_path, site, fetch={"host_connections": 2})
        async with running(settings) as client:
            urls = [f"{site.url}/{number}" for number in range(10)]
            calls = [client.call_tool("scrape_website", {"url": url}) for url in urls]
            readings = [asyncio.create_task(call) for call in calls]
            done, _ = await asyncio.wait(readings, timeout=1)
            assert (len(done), len(site.asked)) == (0, 2)
            held.set()
            assert not any(result.is_error for result in await asyncio.gather(*readings))
        assert len(site.asked) == 10


@pytest.mark.parametrize("obeyed", [True, False])
async def test_robots_txt_is_obeyed_when_a_setting_says_so(tmp_path: Path, obeyed: bool) -> None:
    def answer(asked: Asked) -> bytes:
        return b"User-agent: *\nDisallow: /private" if asked.path == "/robots.txt" else PAGE

    async with scripted_api() as site:
        site.say(200, answer, "Content-Type: text/html")
        async with running(settings_in(tmp_path, site, fetch={"robots": obeyed})) as client:
            closed = await client.call_tool("scrape_website", {"url": f"{site.url}/private/x"})
            open_ = await client.call_tool("scrape_website", {"url": f"{site.url}/public"})
    assert not open_.is_error
    assert closed.is_error is obeyed
    assert fields(closed)["status"] == ("refused_by_policy" if obeyed else "ok")


async def test_only_few_large_bodies_are_held_at_a_time() -> None:
    bodies = Bodies(10 * SMALL, 10 * SMALL)
    holding, most = 0, 0

    async def take() -> None:
        nonlocal holding, most
        async with Body(bodies) as body:
            await body.take(b"x" * SMALL)
            await body.take(b"x")
            holding += 1
            most = max(most, holding)
            await asyncio.sleep(0)
            holding -= 1
            assert len(body.bytes()) == SMALL + 1

    async with asyncio.timeout(5):
        await asyncio.gather(*(take() for _ in range(40)))
    assert most == LARGE_AT_A_TIME
    assert bodies.places.value == LARGE_AT_A_TIME


async def test_a_body_that_is_given_up_frees_its_place() -> None:
    bodies = Bodies(10 * SMALL, 10 * SMALL)
    async with Body(bodies) as body:
        await body.take(b"x" * (SMALL + 1))
        assert bodies.places.value == LARGE_AT_A_TIME - 1
        with pytest.raises(TooLarge):
            await body.take(b"x" * (10 * SMALL))
    assert bodies.places.value == LARGE_AT_A_TIME


async def test_calls_do_not_wait_long_for_a_page_that_is_taken_apart(tmp_path: Path) -> None:
    """The thread that does it is to give way at once, and as before when there is no server."""
    usual = sys.getswitchinterval()
    async with running(settings_in(tmp_path)):
        assert sys.getswitchinterval() < 0.001
    assert sys.getswitchinterval() == usual
