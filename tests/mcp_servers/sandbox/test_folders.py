"""The folders of sandboxes that are thrown away: one is made while another is deleted."""

from __future__ import annotations

import os
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


async def throw_away(folders: Folders, times: int) -> list[Record]:
    """Have so many at a time, and return what they were."""
    taken = [await folders.take() for _ in range(times)]
    for record in taken:
        (record.folder / "home" / "file").write_text("of foreign code")
    for record in taken:
        await folders.delete(record)
    return taken


async def test_another_is_made_when_one_is_deleted_and_is_taken_next(
    folders: Folders, records: Records
) -> None:
    [first] = await throw_away(folders, 1)
    [coming] = there(records)
    second = await folders.take()
    assert there(records) == {coming} == {second.folder} != {first.folder}
    assert sorted(path.name for path in coming.rglob("*")) == ["home", "tmp"]
    assert second.facts.id != first.facts.id
    assert second.facts.number != first.facts.number
    third = await folders.take()
    assert third.folder != second.folder
    for record in (second, third):
        record.forget()


async def test_one_that_waits_is_held(folders: Folders, records: Records) -> None:
    await throw_away(folders, 1)
    [coming] = there(records)
    os.utime(coming, (0, 0))
    records.sweep(DAY_S)
    assert there(records) == {coming}
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
