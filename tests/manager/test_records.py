from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from manager.records import BATCH, DAY_S, Recorder
from manager.stores.calls import CallRecord
from manager.stores.sqlite import SqliteStore


def record(number: int, started_at: float = 1.0, **fields: object) -> CallRecord:
    return CallRecord(
        f"c{number}",
        "echo",
        "echo",
        "one",
        "alice",
        started_at,
        1.0,
        "ok",
        **fields,  # type: ignore[arg-type]  # fields of the record
    )


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    made = SqliteStore(":memory:")
    yield made
    await made.close()


async def test_records_are_written_in_batches_and_all_of_them(store: SqliteStore) -> None:
    await store.open()
    recorder = Recorder(store, clock=lambda: 1.0)
    for number in range(BATCH + 5):
        recorder.add(record(number))
    await recorder.flush()
    assert recorder.waiting == 0
    assert len(await store.calls(BATCH * 2)) == BATCH + 5


class NotingStore(SqliteStore):
    """Says when it has written."""

    wrote: asyncio.Event

    async def add_calls(self, calls: Sequence[CallRecord]) -> None:
        await super().add_calls(calls)
        self.wrote.set()


async def test_records_are_written_by_themselves_and_what_is_left_at_the_end() -> None:
    store = NotingStore(":memory:")
    store.wrote = asyncio.Event()
    await store.open()
    recorder = Recorder(store, flush_s=0.01, clock=lambda: 1.0)
    async with recorder.run():
        recorder.add(record(1))
        await asyncio.wait_for(store.wrote.wait(), 5)
        recorder.add(record(2))
    assert {call.id for call in await store.calls(10)} == {"c1", "c2"}
    await store.close()


async def test_records_wait_while_the_store_is_away_up_to_a_bound(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(store, max_records=3, clock=lambda: 1.0)
    for number in range(5):
        recorder.add(record(number))
        await recorder.flush()
    assert (recorder.waiting, recorder.dropped) == (3, 2)
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR]
    await store.open()
    await recorder.flush()
    assert {call.id for call in await store.calls(10)} == {"c0", "c1", "c2"}
    recorder.add(record(9))
    assert (recorder.waiting, recorder.dropped) == (1, 2)


class SlowStore(SqliteStore):
    """Takes records only when told."""

    go: asyncio.Event

    async def add_calls(self, calls: Sequence[CallRecord]) -> None:
        await self.go.wait()
        await super().add_calls(calls)


async def test_records_that_come_while_several_write_are_all_kept() -> None:
    store = SlowStore(":memory:")
    store.go = asyncio.Event()
    await store.open()
    recorder = Recorder(store, clock=lambda: 1.0)
    for number in range(3):
        recorder.add(record(number))
    writers = [asyncio.create_task(recorder.flush()) for _ in range(2)]
    await asyncio.sleep(0)
    for number in range(3, 9):
        recorder.add(record(number))
    store.go.set()
    await asyncio.gather(*writers)
    await recorder.flush()
    assert len(await store.calls(100)) == 9
    await store.close()


async def test_a_store_that_expires_records_by_itself_is_not_swept(store: SqliteStore) -> None:
    await store.open()
    recorder = Recorder(store, keep_days=None, clock=lambda: 100 * DAY_S)
    recorder.add(record(1, 1.0))
    await recorder.flush()
    assert len(await store.calls(10)) == 1


async def test_bodies_beyond_the_bound_are_left_out(store: SqliteStore) -> None:
    recorder = Recorder(store, max_body_bytes=100, clock=lambda: 1.0)
    for number in range(3):
        recorder.add(record(number, arguments={"a": 1}, request_bytes=40))
    await store.open()
    await recorder.flush()
    kept = {call.id: call.arguments for call in await store.calls(10)}
    assert kept == {"c0": {"a": 1}, "c1": {"a": 1}, "c2": None}


async def test_a_body_takes_room_only_while_it_waits(store: SqliteStore) -> None:
    recorder = Recorder(store, max_body_bytes=100, clock=lambda: 1.0)
    for number, size in enumerate((80, 80, 20)):
        recorder.add(record(number, arguments={"a": 1}, request_bytes=size))
    await store.open()
    await recorder.flush()
    recorder.add(record(3, arguments={"a": 1}, request_bytes=100))
    await recorder.flush()
    kept = {call.id: call.arguments for call in await store.calls(10)}
    assert kept == {"c0": {"a": 1}, "c1": None, "c2": {"a": 1}, "c3": {"a": 1}}


class HesitantStore(SqliteStore):
    """Writes as often as it is let."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.may_write = asyncio.Semaphore(0)

    async def add_calls(self, calls: Sequence[CallRecord]) -> None:
        await self.may_write.acquire()
        await super().add_calls(calls)


async def test_writing_twice_at_once_loses_no_record() -> None:
    store = HesitantStore(":memory:")
    await store.open()
    recorder = Recorder(store, clock=lambda: 1.0)
    recorder.add(record(1))
    both = {asyncio.ensure_future(recorder.flush()) for _ in range(2)}
    store.may_write.release()
    await asyncio.wait(both, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    recorder.add(record(2))
    for _ in range(3):
        store.may_write.release()
    await asyncio.wait(both, timeout=5)
    await asyncio.wait_for(recorder.flush(), 5)
    assert {call.id for call in await store.calls(10)} == {"c1", "c2"}
    await store.close()


async def test_a_record_that_cannot_be_written_keeps_no_other_waiting(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.open()
    recorder = Recorder(store, max_body_bytes=100, clock=lambda: 1.0)
    for number in range(9):
        recorder.add(record(number, arguments={"a": 2**64 if number == 4 else 1}, request_bytes=9))
    unwritable = record(9)
    unwritable.tool = "\ud800"
    recorder.add(unwritable)
    await recorder.flush()
    kept = {call.id: call.arguments for call in await store.calls(20)}
    assert kept == {f"c{number}": None if number == 4 else {"a": 1} for number in range(9)}
    assert (recorder.waiting, recorder.dropped) == (0, 1)
    assert ["c4" in text for text in caplog.messages] == [True, False]


async def test_records_are_swept_when_they_are_old(store: SqliteStore) -> None:
    await store.open()
    now = 100 * DAY_S
    recorder = Recorder(store, keep_days=30, clock=lambda: now)
    recorder.add(record(1, now - 31 * DAY_S))
    recorder.add(record(2, now - 29 * DAY_S))
    await recorder.flush()
    assert [call.id for call in await store.calls(10)] == ["c2"]


async def test_records_survive_in_the_file(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "calls.db"))
    await store.open()
    recorder = Recorder(store)
    recorder.add(record(1, 2_000_000_000.0))
    await recorder.flush()
    await store.close()
    again = SqliteStore(str(tmp_path / "calls.db"))
    await again.open()
    assert [call.id for call in await again.calls(10)] == ["c1"]
    await again.close()
