"""Many callers at a time: the slow delay nobody, sites are spared, and memory stays bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mcp_servers.fetching.errors import TooLarge
from mcp_servers.web.body import LARGE_AT_A_TIME, SMALL, Bodies, Body
from tests.fakes.scripted_api import Asked, scripted_api
from tests.mcp_servers.web.running import PAGE, fields, running, settings_in


@pytest.mark.slow
async def test_two_hundred_readings_of_which_a_tenth_is_slow_do_not_delay_the_rest(
    tmp_path: Path,
) -> None:
    async with scripted_api() as slow, scripted_api() as fast:
        slow.say(200, PAGE, "Content-Type: text/html")
        fast.say(200, PAGE, "Content-Type: text/html")
        held = slow.hold()
        hosts = f"slow.site:{slow.port}", f"fast.site:{fast.port}"
        async with running(settings_in(tmp_path, *hosts), "slow.site", "fast.site") as client:

            async def read(number: int) -> Any:
                url = f"http://{hosts[number % 10 != 0]}/{number}"
                return await client.call_tool("scrape_website", {"url": url})

            readings = [asyncio.create_task(read(number)) for number in range(200)]
            rest = [it for number, it in enumerate(readings) if number % 10]
            done, _ = await asyncio.wait(rest, timeout=120)
            assert len(done) == 180
            assert not any(readings[number].done() for number in range(0, 200, 10))
            held.set()
            results = await asyncio.gather(*readings)
    assert not any(result.is_error for result in results)


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
