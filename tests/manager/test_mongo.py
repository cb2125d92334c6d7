"""What only the store in MongoDB promises: heartbeats, indexes, expiry, bounded waits, silence."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from manager.stores import mongo_calls
from manager.stores.address import MongoAddress, parse
from manager.stores.calls import EVERY_CALL, CallRecord
from manager.stores.mongo import MongoStore
from tests.fakes.scripted_node import ScriptedNode, tool
from tests.mongodb import MongoServer, fresh_name
from wire.errors import StoreUnavailable

NOWHERE = parse("mongodb://alice:very-secret@127.0.0.1:1/registry?appName=hidden&timeoutMS=300")


@pytest.fixture
async def store(mongo_address: MongoAddress) -> AsyncIterator[MongoStore]:
    made = MongoStore(mongo_address)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def client(mongo_address: MongoAddress) -> AsyncIterator[AsyncIOMotorClient[Any]]:
    made: AsyncIOMotorClient[Any] = AsyncIOMotorClient(mongo_address.url)
    yield made
    made.close()


def record(number: int, **fields: Any) -> CallRecord:
    return CallRecord(f"c{number}", "t", "s", "n", "alice", float(number), 1.0, "ok", **fields)


async def test_a_heartbeat_changes_with_each_sign_of_life(store: MongoStore) -> None:
    report = ScriptedNode().report()
    await store.save_node(report, 1.0)
    [first] = await store.heartbeats()
    assert (first.id, first.stamp, first.in_flight) == ("one", report.stamp, 0)
    assert await store.beat_node(report.model_copy(update={"in_flight": 7}), 2.0)
    [second] = await store.heartbeats()
    assert (second.stamp, second.in_flight) == (report.stamp, 7)
    assert second.beat != first.beat


async def test_a_heartbeat_of_another_report_than_the_kept_one_is_refused(
    store: MongoStore,
) -> None:
    node = ScriptedNode()
    assert not await store.beat_node(node.report(), 1.0)
    kept = node.report()
    await store.save_node(kept, 1.0)
    assert not await store.beat_node(node.report(), 2.0)
    assert [entry.report for entry in await store.nodes()] == [kept]


async def test_a_store_tells_its_own_heartbeats_from_those_of_others(
    store: MongoStore, mongo_address: MongoAddress
) -> None:
    other = MongoStore(mongo_address)
    await other.open()
    report = ScriptedNode().report()
    await store.save_node(report, 1.0)
    assert [[b.mine for b in await s.heartbeats()] for s in (store, other)] == [[True], [False]]
    await other.beat_node(report, 2.0)
    assert [[b.mine for b in await s.heartbeats()] for s in (store, other)] == [[False], [True]]
    await other.close()


async def test_nodes_are_found_by_their_names(store: MongoStore) -> None:
    for name in ("a", "b", "c"):
        await store.save_node(ScriptedNode(name).report(), 1.0)
    assert [n.report.id for n in await store.nodes_named(["c", "x", "a"])] == ["a", "c"]


async def test_indexes_are_made_at_the_start_and_the_expiry_follows_its_setting(
    mongo_address: MongoAddress, client: AsyncIOMotorClient[Any]
) -> None:
    for days, seconds in ((30, 2_592_000), (0.5, 43_200), (1e9, 2**31 - 1)):
        store = MongoStore(mongo_address, days)
        await store.open()
        await store.add_calls([record(int(days % 100))])
        await store.close()
        indexes = await client[mongo_address.database].calls.index_information()
        assert indexes["expiry"]["expireAfterSeconds"] == seconds
        assert indexes["newest"]["key"] == [("started_at", -1), ("_id", -1)]
    kept = await client[mongo_address.database].calls.find_one({"_id": "c30"})
    assert kept is not None
    assert kept["at"].timestamp() == kept["started_at"]


async def test_old_call_records_expire_in_the_server(
    store: MongoStore, client: AsyncIOMotorClient[Any], mongo_server: MongoServer | None
) -> None:
    if mongo_server is None:
        pytest.skip("a real MongoDB sweeps once a minute, and cannot be asked to")
    fresh = CallRecord("new", "t", None, None, "bob", time.time(), 1.0, "ok")
    await store.add_calls([record(1), fresh])
    await client.admin.command("secantusAdmin.pruneTtl")
    assert [call.id for call in await store.calls(10)] == ["new"]


async def test_a_database_of_a_newer_version_is_refused_and_kept(
    mongo_address: MongoAddress, client: AsyncIOMotorClient[Any]
) -> None:
    schema = client[mongo_address.database].schema
    await schema.insert_one({"_id": "schema", "version": 99})
    store = MongoStore(mongo_address)
    with pytest.raises(StoreUnavailable, match="newer version"):
        await store.open()
    with pytest.raises(StoreUnavailable, match="newer version"):
        await store.save_node(ScriptedNode().report(), 1.0)
    assert await schema.find_one({}) == {"_id": "schema", "version": 99}
    await store.close()


async def test_documents_that_another_version_wrote_are_passed_over_and_named(
    store: MongoStore,
    mongo_address: MongoAddress,
    client: AsyncIOMotorClient[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("one", "two"):
        await store.save_node(ScriptedNode(name).report(), 1.0)
        await store.save_tools([tool(name)], 1.0)
    db = client[mongo_address.database]
    await db.nodes.update_one({"_id": "one"}, {"$set": {"report": b"{}"}})
    await db.tools.update_one({"_id.name": "one"}, {"$unset": {"tool": 1}})
    assert [entry.report.id for entry in await store.nodes()] == ["two"]
    assert [entry.tool.name for entry in await store.tools()] == ["two"]
    assert caplog.text.count("in the store cannot be read") == 2


async def test_a_record_that_no_document_takes_does_not_count_as_an_outage(
    store: MongoStore,
) -> None:
    too_long = CallRecord("c1", "t" * 17_000_000, None, None, "bob", 1.0, 1.0, "ok")
    with pytest.raises(ValueError, match="too large"):
        await store.add_calls([too_long])
    await store.add_calls([record(2)])
    assert [call.id for call in await store.calls(10)] == ["c2"]


async def test_what_documents_do_not_take_is_kept_all_the_same(store: MongoStore) -> None:
    odd = {"$set": {"a.b": 2**63}, "": [None], "nul\0": "é"}
    await store.add_calls([record(1, arguments=odd, result={"$ref": "#/$defs/x"})])
    await store.save_tools([tool("t", schema={"$schema": "x", "properties": {"a.b": {}}})], 1.0)
    [call] = await store.calls(1)
    assert (call.arguments, call.result) == (odd, {"$ref": "#/$defs/x"})
    [kept] = await store.tools()
    assert kept.tool.input_schema["$schema"] == "x"


async def test_many_and_long_records_arrive_in_parts_and_bodies_too_long_are_left_out(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_calls, "MAX_BATCH", 7)
    monkeypatch.setattr(mongo_calls, "MAX_BATCH_BYTES", 100)
    monkeypatch.setattr(mongo_calls, "MAX_BODY", 60)
    records = [record(n, arguments={"a": "x" * n}) for n in range(70)]
    await store.add_calls([*records, records[0]])
    kept = {call.id: call.arguments for call in await store.calls(100)}
    assert len(kept) == 70
    assert kept["c50"] == {"a": "x" * 50}
    assert kept["c69"] is None


async def test_a_server_that_is_away_is_told_in_bounded_time_and_then_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    store = MongoStore(NOWHERE)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await store.open()
    first = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.save_node(ScriptedNode().report(), 1.0)
    assert first - started < 1
    assert time.monotonic() - first < 0.2
    await store.close()
    for text in (str(refused.value), refused.value.detail, repr(store), repr(NOWHERE), caplog.text):
        assert "very-secret" not in text
        assert "hidden" not in text
    assert refused.value.detail.startswith("The store at mongodb://127.0.0.1:1/registry failed: ")
    assert "Topology" not in refused.value.detail


async def test_a_store_connects_by_itself_and_makes_its_indexes_anew(tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "mongo")
    address = parse(server.url(fresh_name()) + "&timeoutMS=500")
    store = MongoStore(address)
    with pytest.raises(StoreUnavailable):
        await store.open()
    server.start()
    await until_it_answers(store)
    client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(address.url)
    assert "expiry" in await client[address.database].calls.index_information()
    client.close()
    await store.close()
    server.kill()


async def until_it_answers(store: MongoStore) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                return await store.check()
            except StoreUnavailable:
                await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_server_that_hangs_is_told_in_bounded_time_and_comes_back(tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "mongo").start()
    store = MongoStore(parse(server.url(fresh_name())))
    await store.open()
    server.freeze()
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.add_calls([record(1)])
    assert time.monotonic() - started < 4
    server.thaw()
    await until_it_answers(store)
    await store.add_calls([record(1)])
    assert len(await store.calls(10)) == 1
    server.freeze()
    started = time.monotonic()
    await store.close()
    assert time.monotonic() - started < 8
    server.kill()


@pytest.mark.slow
async def test_a_search_that_takes_long_is_no_outage(tmp_path: Path) -> None:
    server = MongoServer(tmp_path).start()
    store = MongoStore(parse(server.url(fresh_name()).replace("?", "?timeoutMS=300&")))
    await store.open()
    await store.add_calls([record(1)])
    server.freeze()
    search = asyncio.create_task(store.sum_calls("tool", EVERY_CALL))
    done, _ = await asyncio.wait([search], timeout=1)
    assert not done, "it may take longer than a write"
    server.thaw()
    assert len(await search) == 1
    await store.check()
    await store.close()
    server.kill()


@pytest.mark.slow
async def test_a_killed_server_has_kept_all_that_was_acknowledged(tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "mongo", "--sync-on-commit").start()
    address = parse(server.url(fresh_name()))
    store = MongoStore(address)
    await store.open()
    for life in range(3):
        acknowledged = await _write_until_it_is_killed(store, server, life)
        server.start()
        await until_it_answers(store)
        kept = {call.id for call in await store.calls(100_000)}
        assert acknowledged - kept == set()
        assert len(acknowledged) > 20
        # What may have been written is written again, and is kept once.
        await store.add_calls([record(number) for number in range(life * 100_000, 50)])
    await store.close()
    server.kill()


async def _write_until_it_is_killed(store: MongoStore, server: MongoServer, life: int) -> set[str]:
    """Write from several tasks; return what was acknowledged when the server died under them."""
    acknowledged: set[str] = set()
    enough = asyncio.Event()

    async def write(task: int) -> None:
        for turn in range(10_000):
            batch = [record(((life * 4 + task) * 10_000 + turn) * 5 + n) for n in range(5)]
            try:
                await store.add_calls(batch)
            except StoreUnavailable:
                return
            acknowledged.update(call.id for call in batch)
            if turn == 20:
                enough.set()

    writers = [asyncio.create_task(write(task)) for task in range(4)]
    await asyncio.wait_for(enough.wait(), 20)
    await asyncio.to_thread(server.kill)
    await asyncio.gather(*writers)
    return acknowledged
