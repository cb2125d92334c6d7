"""The folders of sandboxes that are thrown away: made, handed on, or deleted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_servers.sandbox.folders import SPARES, Folders
from mcp_servers.sandbox.record import Record, Records

DAY_S = 86_400.0


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "sandboxes")


@pytest.fixture
def folders(records: Records) -> Folders:
    return Folders(records, lambda _: os.geteuid(), "")


def there(records: Records) -> set[Path]:
    return set(records.root.iterdir())


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every folder be old enough to be handed on."""
    monkeypatch.setattr("mcp_servers.sandbox.record._TICK_NS", 0)


async def throw_away(folders: Folders, times: int) -> list[Record]:
    """Have so many at a time, and return what they were."""
    taken = [await folders.take() for _ in range(times)]
    for record in taken:
        (record.folder / "home" / "file").write_text("of foreign code")
    for record in taken:
        await folders.delete(record)
    return taken


async def test_others_are_made_when_one_is_deleted_and_are_taken_next(
    folders: Folders, records: Records
) -> None:
    [first] = await throw_away(folders, 1)
    coming = there(records)
    second = await folders.take()
    third = await folders.take()
    assert there(records) == coming == {second.folder, third.folder}
    assert first.folder not in coming
    for record in (second, third):
        assert sorted(path.name for path in record.folder.rglob("*")) == ["home", "tmp"]
    assert len({record.facts.id for record in (first, second, third)}) == 3
    assert len({record.facts.number for record in (first, second, third)}) == 3
    fourth = await folders.take()
    assert fourth.folder not in coming
    for record in (second, third, fourth):
        record.forget()


async def test_one_that_waits_is_held(folders: Folders, records: Records) -> None:
    await throw_away(folders, 1)
    coming = there(records)
    for folder in coming:
        os.utime(folder, (0, 0))
    records.sweep(DAY_S)
    assert there(records) == coming
    await folders.end()


@pytest.mark.usefixtures("old")
async def test_one_that_nobody_touched_is_handed_on(folders: Folders, records: Records) -> None:
    record = await folders.take()
    created = record.facts.created
    await folders.delete(record)
    again = await folders.take()
    assert again is record
    assert there(records) == {record.folder}
    assert record.facts.created > created
    again.forget()


def add_and_delete(home: Path) -> None:
    (home / "file").touch()
    (home / "file").unlink()


def close_and_open(home: Path) -> None:
    home.chmod(0o755)
    home.chmod(0o700)


def set_back(home: Path) -> None:
    found = home.stat()
    os.utime(home, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize(
    "touch",
    [
        add_and_delete,
        close_and_open,
        set_back,
        lambda home: os.setxattr(home, "user.said", b"to the next"),
        lambda home: (home / "file").touch(),
        os.listdir,
        Path.rmdir,
    ],
)
@pytest.mark.parametrize("name", ["home", "tmp"])
async def test_one_that_was_touched_is_not(
    folders: Folders, records: Records, touch: Callable[[Path], object], name: str
) -> None:
    record = await folders.take()
    touch(record.folder / name)
    await folders.delete(record)
    assert record.folder not in there(records)
    await folders.end()


async def test_one_that_was_made_a_moment_ago_is_not(
    folders: Folders, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done to it at once may have the same time."""
    monkeypatch.setattr("mcp_servers.sandbox.record._TICK_NS", 60_000_000_000)
    record = await folders.take()
    await folders.delete(record)
    assert record.folder not in there(records)
    await folders.end()


@pytest.mark.usefixtures("old")
async def test_none_is_where_only_whole_seconds_are_known(
    folders: Folders, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on ext4 with small inodes, and over some networks."""
    monkeypatch.setattr(Record, "_read_times", lambda _: [(3_000_000_000, 5)])
    record = await folders.take()
    await folders.delete(record)
    assert record.folder not in there(records)
    await folders.end()


@pytest.mark.parametrize("tick_ns", [0, 60_000_000_000])
async def test_few_wait_though_many_end_at_once(
    folders: Folders, records: Records, monkeypatch: pytest.MonkeyPatch, tick_ns: int
) -> None:
    """Whether those that end are handed on, or others are made for them."""
    monkeypatch.setattr("mcp_servers.sandbox.record._TICK_NS", tick_ns)
    taken = [await folders.take() for _ in range(3 * SPARES)]
    async with asyncio.TaskGroup() as tasks:
        for record in taken:
            tasks.create_task(folders.delete(record))
    assert len(there(records)) == SPARES
    await folders.end()


@pytest.mark.usefixtures("old")
async def test_one_in_which_something_may_run_is_not(folders: Folders, records: Records) -> None:
    record = await folders.take()
    record.spoil()
    await folders.delete(record)
    assert record.folder not in there(records)
    await folders.end()


async def test_few_wait_and_none_is_left_at_the_end(folders: Folders, records: Records) -> None:
    before = len(os.listdir("/proc/self/fd"))
    await throw_away(folders, SPARES + 2)
    assert len(there(records)) == SPARES
    last = await folders.take()
    await folders.end()
    assert there(records) == {last.folder}
    await folders.delete(last)
    assert not there(records)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_none_is_made_for_one_that_lasts(folders: Folders, records: Records) -> None:
    lasting = await folders.make("owner", 600)
    await folders.delete(lasting, "closed")
    assert there(records) == {lasting.folder}
    assert os.listdir(lasting.folder) == ["record.json"]


async def test_that_none_could_be_made_is_told_to_the_next(
    folders: Folders, records: Records
) -> None:
    record = await folders.take()
    moved = records.root.rename(records.root.with_name("moved"))
    await folders.delete(record)
    with pytest.raises(FileNotFoundError):
        await folders.take()
    moved.rename(records.root)
    (await folders.take()).forget()
