"""The result cache: one asks for many, and what is kept survives a restart, within its size."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mcp_servers.web.caching.cache import Cache, Kept, Made, key_of
from mcp_servers.web.caching.sqlite import SqliteStore
from tests.fakes.scripted_api import scripted_api
from tests.mcp_servers.web.running import PAGE, fields, running, settings_in


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Maker:
    """Makes a value, counts how often, and waits for a word if it is held."""

    def __init__(self, ttl_s: float = 60.0) -> None:
        self.made = 0
        self.cancelled = 0
        self.ttl_s = ttl_s
        self.held: asyncio.Event | None = None
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self) -> Made:
        self.made += 1
        self.begun.set()
        try:
            if self.held is not None:
                await self.held.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            self.gone.set()
            raise
        if self.failure is not None:
            raise self.failure
        return Made({"n": self.made}, self.ttl_s)


@asynccontextmanager
async def cache_in(
    folder: Path, clock: Clock | None = None, max_bytes: int = 10**7
) -> AsyncIterator[Cache]:
    store = SqliteStore(folder / "kept.db", max_bytes)
    yield Cache(store, clock or Clock())
    await store.aclose()


async def test_what_is_kept_is_marked_with_its_age(tmp_path: Path) -> None:
    clock, make = Clock(), Maker()
    async with cache_in(tmp_path, clock) as cache:
        assert await cache.get_or_make("k", make) == Kept({"n": 1}, None)
        clock.now += 12.34
        assert await cache.get_or_make("k", make) == Kept({"n": 1}, 12.3)


async def test_it_is_made_anew_when_its_time_is_over(tmp_path: Path) -> None:
    clock, make = Clock(), Maker(ttl_s=60)
    async with cache_in(tmp_path, clock) as cache:
        await cache.get_or_make("k", make)
        clock.now += 59.9
        assert (await cache.get_or_make("k", make)).age_s is not None
        clock.now += 0.2
        assert await cache.get_or_make("k", make) == Kept({"n": 2}, None)


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    make = Maker()
    async with cache_in(tmp_path) as cache:
        await cache.get_or_make("k", make)
    async with cache_in(tmp_path) as cache:
        assert await cache.get_or_make("k", make) == Kept({"n": 1}, 0.0)


async def test_two_processes_share_one_file(tmp_path: Path) -> None:
    make = Maker()
    async with cache_in(tmp_path) as one, cache_in(tmp_path) as other:
        await one.get_or_make("k", make)
        assert (await other.get_or_make("k", make)).value == {"n": 1}


async def test_whoever_wants_it_fresh_gets_it_fresh_and_others_get_that(tmp_path: Path) -> None:
    make = Maker()
    async with cache_in(tmp_path) as cache:
        await cache.get_or_make("k", make)
        assert await cache.get_or_make("k", make, fresh=True) == Kept({"n": 2}, None)
        assert await cache.get_or_make("k", make) == Kept({"n": 2}, 0.0)


async def test_what_may_not_be_kept_is_not(tmp_path: Path) -> None:
    make = Maker(ttl_s=0)
    async with cache_in(tmp_path) as cache:
        await cache.get_or_make("k", make)
        assert (await cache.get_or_make("k", make)).value == {"n": 2}


async def test_a_failure_reaches_all_who_wait_and_is_never_kept(tmp_path: Path) -> None:
    make = Maker()
    make.failure = ValueError("no")
    async with cache_in(tmp_path) as cache:
        asked = (cache.get_or_make("k", make) for _ in range(5))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(it) for it in outcomes] == [ValueError] * 5
        assert make.made == 1
        make.failure = None
        assert (await cache.get_or_make("k", make)).value == {"n": 2}


@pytest.mark.parametrize("kept", [True, False])
async def test_fifty_who_ask_at_a_time_are_one_request(tmp_path: Path, kept: bool) -> None:
    make = Maker()
    make.held = asyncio.Event()
    async with cache_in(tmp_path) as made:
        cache = made if kept else Cache(None)
        asking = [asyncio.create_task(cache.get_or_make("k", make)) for _ in range(50)]
        await make.begun.wait()
        make.held.set()
        outcomes = await asyncio.gather(*asking)
        assert {(it.value["n"], it.age_s) for it in outcomes} <= {(1, None), (1, 0.0)}
    assert make.made == 1


async def test_who_leaves_early_takes_nothing_from_the_others(tmp_path: Path) -> None:
    make = Maker()
    make.held = asyncio.Event()
    async with cache_in(tmp_path) as cache:
        first = asyncio.create_task(cache.get_or_make("k", make))
        await make.begun.wait()
        second = asyncio.create_task(cache.get_or_make("k", make))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        make.held.set()
        assert (await second).value == {"n": 1}
    assert (make.made, make.cancelled) == (1, 0)


async def test_what_nobody_waits_for_any_more_is_cancelled(tmp_path: Path) -> None:
    make = Maker()
    make.held = asyncio.Event()
    async with cache_in(tmp_path) as cache:
        asking = [asyncio.create_task(cache.get_or_make("k", make)) for _ in range(3)]
        await make.begun.wait()
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        async with asyncio.timeout(5):
            await make.gone.wait()
        make.held.set()
        assert (await cache.get_or_make("k", make)).value == {"n": 2}


async def test_who_comes_when_the_last_one_has_just_left_begins_anew(tmp_path: Path) -> None:
    make = Maker()
    make.held = asyncio.Event()
    async with cache_in(tmp_path) as cache:
        first = asyncio.create_task(cache.get_or_make("k", make))
        await make.begun.wait()
        first.cancel()
        make.held.set()

        async def come() -> Kept:
            return await cache.get_or_make("k", make)

        first.add_done_callback(lambda _: later.append(asyncio.create_task(come())))
        later: list[asyncio.Task[Kept]] = []
        await asyncio.wait([first])
        assert (await later[0]).value == {"n": 2}


async def test_it_never_outgrows_its_size_and_drops_what_was_used_least(tmp_path: Path) -> None:
    clock = Clock()

    async def make() -> Made:
        return Made(os.urandom(2000).hex(), 10**6)

    async with cache_in(tmp_path, clock, max_bytes=100_000) as cache:
        for number in range(200):
            clock.now += 61
            await cache.get_or_make(f"k{number}", make)
            await cache.get("k0")
        assert (await cache.get("k0")) is not None
        assert (await cache.get("k1")) is None
        assert (await cache.get("k199")) is not None
        kept = [await cache.get(f"k{number}") for number in range(200)]
    sizes = [2000 for it in kept if it is not None]
    assert 20 < len(sizes) <= 50
    assert (tmp_path / "kept.db").stat().st_size < 400_000


async def test_a_value_that_is_too_large_is_passed_on_and_not_kept(tmp_path: Path) -> None:
    async def make() -> Made:
        return Made(os.urandom(50_000).hex(), 60.0)

    async with cache_in(tmp_path, max_bytes=100_000) as cache:
        assert len((await cache.get_or_make("k", make)).value) == 100_000
        assert await cache.get("k") is None


async def test_a_damaged_file_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kept.db").write_bytes(b"not a database " * 1000)
    make = Maker()
    async with cache_in(tmp_path) as cache:
        await cache.get_or_make("k", make)
        assert (await cache.get_or_make("k", make)).value == {"n": 1}
    assert "damaged" in caplog.text


async def test_where_nothing_can_be_kept_calls_go_on_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    make = Maker()
    async with cache_in(tmp_path / "file") as cache:
        await cache.get_or_make("k", make)
        assert (await cache.get_or_make("k", make)).value == {"n": 2}
    assert caplog.text.count("the result cache is not used") == 1


def test_keys_are_the_same_for_the_same_and_differ_for_what_differs() -> None:
    assert key_of("a", {"x": 1, "y": 2}) == key_of("a", {"y": 2, "x": 1})
    keys = {key_of("a", "b"), key_of("ab"), key_of("a", ["b"]), key_of("a", "b", None)}
    assert len(keys) == 4


@pytest.mark.parametrize("trap", ["none", "symlink", "file", "foreign", "open"])
async def test_the_folder_of_last_resort_is_ours_alone(
    trap: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its name can be guessed, and everybody may write where it lies."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder, elsewhere = tmp_path / f"agentdock-web-{os.getuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir()
    match trap:
        case "symlink":
            folder.symlink_to(elsewhere)
        case "file":
            folder.write_text("")
        case "open":
            folder.mkdir()
            folder.chmod(0o777)
        case "foreign":
            if os.geteuid() != 0:
                pytest.skip("only root can give a folder away")
            folder.mkdir(0o700)
            os.chown(folder, 12345, 12345)
    async with scripted_api() as site:
        site.say(200, PAGE, "Content-Type: text/html")
        async with running(settings_in(Path("/proc/nowhere"), site)) as client:
            for _ in range(2):
                read = await client.call_tool("scrape_website", {"url": site.url})
                assert not read.is_error
    assert fields(read)["cached"] == (trap == "none")
    assert list(elsewhere.iterdir()) == []
    if trap == "none":
        assert folder.stat().st_mode & 0o777 == 0o700
    else:
        assert "WEB_CACHE_DIR" in caplog.text
        assert not folder.is_dir() or list(folder.iterdir()) == []
