"""What every store promises. A new store is one more parameter of the fixture."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from manager.launchers.base import LaunchedNode
from manager.stores.address import MongoAddress
from manager.stores.base import Store
from manager.stores.calls import (
    CallFilter,
    CallRecord,
    CallSum,
    Position,
    Repeats,
    duration_class,
)
from manager.stores.mongo import MongoStore
from manager.stores.sqlite import SqliteStore
from tests.fakes.scripted_node import ScriptedNode, server, tool
from wire.errors import StoreUnavailable
from wire.models import Registration

MakeStore = Callable[[], Store]


@pytest.fixture(params=["sqlite file", "sqlite memory", "mongo"])
def make_store(
    request: pytest.FixtureRequest, tmp_path: Path, mongo_address: MongoAddress
) -> MakeStore:
    """Return a function that makes a store; all but the one in memory find what was kept."""
    if request.param == "mongo":
        return lambda: MongoStore(mongo_address)
    if request.param == "sqlite file":
        return lambda: SqliteStore(str(tmp_path / "folder" / "store.db"))
    return lambda: SqliteStore(":memory:")


@pytest.fixture
async def store(make_store: MakeStore) -> AsyncIterator[Store]:
    made = make_store()
    await made.open()
    yield made
    await made.close()


def call(number: int, started_at: float, **fields: object) -> CallRecord:
    plain: dict[str, Any] = {
        "tool": "echo",
        "server": "echo",
        "node": "one",
        "owner": "alice/s1",
        "duration_ms": 12.5,
        "outcome": "ok",
    }
    return CallRecord(id=f"c{number}", started_at=started_at, **plain | fields)


async def test_opening_and_closing_twice_is_harmless(make_store: MakeStore) -> None:
    store = make_store()
    await store.close()
    await store.open()
    await store.open()
    await store.check()
    await store.close()
    await store.close()


async def test_a_closed_store_says_that_it_is_unavailable(make_store: MakeStore) -> None:
    store = make_store()
    report = ScriptedNode().report()
    for attempt in (
        store.check(),
        store.nodes(),
        store.save_node(report, 1.0),
        store.add_calls([call(1, 1.0)]),
        store.calls(1),
        store.launched(),
        store.registrations(),
        store.save_registration(Registration(name="a", profile="*", revision=1), None),
    ):
        with pytest.raises(StoreUnavailable):
            await attempt
    await store.close()


async def test_a_node_is_kept_as_it_last_reported(store: Store) -> None:
    node = ScriptedNode()
    await store.save_node(node.report(boot="boot-1"), 1.0)
    last = node.report(server("echo", tool("echo", idempotent=True)), boot="boot-2")
    await store.save_node(last, 2.0)
    await store.save_node(ScriptedNode("another").report(), 3.0)
    kept = await store.nodes()
    assert [entry.report.id for entry in kept] == ["another", "one"]
    assert (kept[1].report, kept[1].seen_at) == (last, 2.0)


async def test_a_forgotten_node_is_gone_and_forgetting_twice_is_harmless(store: Store) -> None:
    await store.save_node(ScriptedNode().report(), 1.0)
    await store.forget_node("one")
    await store.forget_node("one")
    assert await store.nodes() == []


async def test_when_a_tool_was_first_seen_stays_as_it_was(store: Store) -> None:
    await store.save_tools([tool("b"), tool("a")], 1.0)
    changed = tool("b", timeout_s=5.0)
    await store.save_tools([changed], 2.0)
    first, second = await store.tools()
    assert (first.tool.name, first.first_seen, first.last_seen) == ("a", 1.0, 1.0)
    assert (second.tool, second.first_seen, second.last_seen) == (changed, 1.0, 2.0)


async def test_saving_nothing_is_harmless(store: Store) -> None:
    await store.save_tools([], 1.0)
    await store.add_calls([])
    assert await store.tools() == []
    assert await store.calls(10) == []


async def test_calls_are_listed_newest_first_and_page_by_page(store: Store) -> None:
    await store.add_calls([call(number, float(number)) for number in (3, 1, 2, 5, 4)])
    assert [entry.id for entry in await store.calls(2)] == ["c5", "c4"]
    after = Position(4.0, "c4")
    assert [entry.id for entry in await store.calls(2, after=after)] == ["c3", "c2"]
    assert await store.calls(2, after=Position(1.0, "c1")) == []


async def test_no_call_is_skipped_or_shown_twice_while_others_arrive(store: Store) -> None:
    await store.add_calls([call(number, 1.0 + number // 4) for number in range(10, 30)])
    seen: list[str] = []
    after = None
    number = 50
    while page := await store.calls(3, CallFilter(tool="echo"), after):
        seen += [entry.id for entry in page]
        after = Position(page[-1].started_at, page[-1].id)
        await store.add_calls([call(number, float(number))])
        number += 1
    assert len(seen) == len(set(seen)) == 20


async def test_calls_are_found_by_what_they_are(store: Store) -> None:
    plain = call(1, 1.0)
    others = {
        "key": call(2, 2.0, owner="bob/s1"),
        "session": call(3, 3.0, owner="alice/s2"),
        "tool": call(4, 4.0, tool="other"),
        "server": call(5, 5.0, server="other"),
        "node": call(6, 6.0, node="two"),
        "outcome": call(7, 7.0, outcome="tool_error"),
        "trace": call(8, 8.0, trace="abc"),
    }
    await store.add_calls([plain, *others.values()])
    for name, record in others.items():
        wanted = CallFilter(**{name: getattr(record, name)})
        assert await store.calls(10, wanted) == [record]
    both = CallFilter(key="alice", session="s1", since=4.0, until=7.0)
    assert [entry.id for entry in await store.calls(10, both)] == ["c6", "c5", "c4"]
    assert await store.calls(10, CallFilter(session="s1", outcome="nothing")) == []


async def test_calls_are_added_up(store: Store) -> None:
    fast = [call(n, 1.0, digest="d1", request_bytes=10, result_bytes=1) for n in range(3)]
    slow = [call(n, 2.0, digest=f"d{n}", duration_ms=900.0, outcome="tool_error") for n in (7, 8)]
    other = call(9, 3.0, digest="d1", owner="bob", tool="other", node=None)
    late = call(10, 9.0)
    await store.add_calls([*fast, *slow, other, late])
    wanted = CallFilter(until=9.0)
    sums = sorted(await store.sum_calls("tool", wanted), key=lambda one: one.calls)
    classes = (duration_class(12.5), duration_class(900.0))
    assert sums == [
        CallSum(("echo", "other"), "ok", classes[0], 1, 0, 0),
        CallSum(("echo", "echo"), "tool_error", classes[1], 2, 0, 0),
        CallSum(("echo", "echo"), "ok", classes[0], 3, 30, 3),
    ]
    assert await store.repeats("tool", wanted) == [Repeats(("echo", "echo"), 5, 3)]
    nodes = await store.sum_calls("node", wanted)
    assert {(one.group, one.calls) for one in nodes} == {(("one",), 3), (("one",), 2), ((None,), 1)}
    assert await store.repeats("key", wanted) == [Repeats(("alice",), 5, 3)]
    assert await store.sum_calls("server", CallFilter(since=100.0)) == []


async def test_a_call_is_kept_whole(store: Store) -> None:
    bodies = call(
        1,
        1.0,
        arguments={"a": [1, "é"]},
        result={"content": []},
        request_bytes=7,
        result_bytes=8,
        digest="d",
        trace="t",
    )
    nowhere = CallRecord("c2", "x", None, None, "bob", 2.0, 0.1, "tool_not_found")
    await store.add_calls([bodies, nowhere])
    assert await store.calls(10) == [nowhere, bodies]


async def test_a_call_added_twice_is_kept_once(store: Store) -> None:
    await store.add_calls([call(1, 1.0)])
    await store.add_calls([call(1, 1.0), call(2, 2.0)])
    assert len(await store.calls(10)) == 2


async def test_sweeping_drops_old_calls_and_counts_them(store: Store) -> None:
    await store.add_calls([call(number, float(number)) for number in range(5)])
    assert await store.sweep_calls(3.0) == 3
    assert [entry.id for entry in await store.calls(10)] == ["c4", "c3"]


async def test_a_registration_is_kept_once_and_replaced_only_by_who_knows_it(store: Store) -> None:
    first = Registration(name="b", profile="full", revision=5, entry={"command": "x"})
    assert await store.save_registration(first, None)
    assert not await store.save_registration(first.model_copy(update={"revision": 6}), None)
    other = Registration(name="a", profile="*", revision=1, entry={"url": "http://x", "é": [1.5]})
    assert await store.save_registration(other, None)
    newer = first.model_copy(update={"revision": 7, "entry": None})
    assert not await store.save_registration(newer, 4)
    assert await store.registrations() == [other, first]
    assert await store.save_registration(newer, 5)
    assert not await store.save_registration(first, 5)
    assert await store.registrations() == [other, newer]


async def test_of_many_who_replace_a_registration_at_once_one_does(store: Store) -> None:
    first = Registration(name="a", profile="*", revision=1, entry={})
    made = await asyncio.gather(*(store.save_registration(first, None) for _ in range(20)))
    assert made.count(True) == 1
    newer = [first.model_copy(update={"revision": 2 + n}) for n in range(20)]
    done = await asyncio.gather(*(store.save_registration(r, 1) for r in newer))
    assert done.count(True) == 1
    assert await store.registrations() == [newer[done.index(True)]]


async def test_sweeping_drops_only_old_registrations_without_an_entry(store: Store) -> None:
    for name, revision, entry in (("a", 1, None), ("b", 2, {}), ("c", 9, None)):
        kept = Registration(name=name, profile="*", revision=revision, entry=entry)
        assert await store.save_registration(kept, None)
    assert await store.sweep_registrations(9) == 1
    assert [r.name for r in await store.registrations()] == ["b", "c"]


async def test_launched_nodes_are_kept_replaced_and_forgotten(store: Store) -> None:
    await store.save_launched(LaunchedNode("one", "process", "1", "/log"))
    again = LaunchedNode("one", "process", "2", "/log")
    await store.save_launched(again)
    assert await store.launched() == [again]
    await store.forget_launched("one")
    await store.forget_launched("one")
    assert await store.launched() == []


async def test_many_at_once_do_not_disturb_one_another(store: Store) -> None:
    await asyncio.gather(
        *(store.add_calls([call(n, float(n)), call(n + 100, n + 0.5)]) for n in range(100)),
        *(store.save_tools([tool(f"t{n}")], 1.0) for n in range(50)),
        *(store.calls(10) for _ in range(50)),
    )
    assert len(await store.calls(1000)) == 200
    assert len(await store.tools()) == 50


class TestSqliteFile:
    """What only a store in a file can promise."""

    async def test_everything_outlives_the_manager(self, tmp_path: Path) -> None:
        path = str(tmp_path / "store.db")
        first = SqliteStore(path)
        await first.open()
        await first.save_node(ScriptedNode().report(), 1.0)
        await first.add_calls([call(1, 1.0)])
        await first.close()
        second = SqliteStore(path)
        await second.open()
        assert len(await second.nodes()) == 1
        assert len(await second.calls(10)) == 1
        await second.close()

    async def test_a_full_disk_loses_nothing_and_is_told(self, tmp_path: Path) -> None:
        store = SqliteStore(str(tmp_path / "store.db"))
        await store.open()
        kept = Registration(name="a", profile="*", revision=1, entry={"command": "x"})
        assert await store.save_registration(kept, None)

        async def limit(pages: int) -> None:
            pragma = f"PRAGMA max_page_count = {pages}"
            await store._run(lambda connection: connection.execute(pragma).fetchall())

        await limit(1)  # as small as it is
        long = [call(n, 1.0, arguments={"a": "x" * 10_000}) for n in range(100)]
        with pytest.raises(StoreUnavailable, match="full"):
            await store.add_calls(long)
        big = kept.model_copy(update={"name": "b", "entry": {"command": "x" * 100_000}})
        with pytest.raises(StoreUnavailable, match="full"):
            await store.save_registration(big, None)
        assert await store.registrations() == [kept]
        assert await store.calls(10) == []
        await limit(1_000_000)
        await store.add_calls(long)
        assert await store.save_registration(big, None)
        assert len(await store.calls(1000)) == 100
        await store.close()

    async def test_a_second_manager_is_refused(self, tmp_path: Path) -> None:
        first, second = (SqliteStore(str(tmp_path / "store.db")) for _ in range(2))
        await first.open()
        with pytest.raises(StoreUnavailable, match="another manager"):
            await second.open()
        await first.close()
        await second.open()
        await second.close()

    async def test_a_file_that_is_no_database_is_refused_and_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        path.write_text("my diary" * 1000)
        store = SqliteStore(str(path))
        with pytest.raises(StoreUnavailable, match="not a database"):
            await store.open()
        assert path.read_text().startswith("my diary")
        await store.close()

    async def test_a_folder_that_cannot_be_made_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        store = SqliteStore(str(tmp_path / "file" / "store.db"))
        with pytest.raises(StoreUnavailable):
            await store.open()
        await store.close()

    async def test_a_store_written_by_a_newer_version_is_refused(self, tmp_path: Path) -> None:
        path = str(tmp_path / "store.db")
        store = SqliteStore(path)
        await store.open()
        await store.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        with pytest.raises(StoreUnavailable, match="newer version"):
            await SqliteStore(path).open()

    async def test_rows_that_another_version_wrote_are_passed_over_and_named(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = str(tmp_path / "store.db")
        store = SqliteStore(path)
        await store.open()
        for name in ("one", "two"):
            await store.save_node(ScriptedNode(name).report(), 1.0)
            await store.save_tools([tool(name)], 1.0)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("""UPDATE nodes SET report = '{"id": "one"}' WHERE id = 'one'""")
            connection.execute("UPDATE tools SET tool = 'nothing' WHERE name = 'one'")
        assert [entry.report.id for entry in await store.nodes()] == ["two"]
        assert [entry.tool.name for entry in await store.tools()] == ["two"]
        assert caplog.text.count("'one' in the store cannot be read") == 2
        await store.close()

    async def test_a_file_that_was_removed_is_noticed(self, tmp_path: Path) -> None:
        store = SqliteStore(str(tmp_path / "store.db"))
        await store.open()
        await store.check()
        (tmp_path / "store.db").unlink()
        with pytest.raises(StoreUnavailable, match="removed"):
            await store.check()
        await store.close()

    async def test_a_search_and_a_write_do_not_wait_for_each_other(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        store = SqliteStore(str(path))
        await store.open()
        await store.add_calls([call(1, 1.0)])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            write = asyncio.create_task(store.add_calls([call(2, 2.0)]))
            async with asyncio.timeout(4):
                assert len(await store.calls(10)) == 1
                assert len(await store.sum_calls("tool", CallFilter())) == 1
            assert not write.done()
            other.execute("ROLLBACK")
        await write
        assert len(await store.calls(10)) == 2
        await store.close()
