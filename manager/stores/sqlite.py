"""The store in one SQLite file, for one manager.

All statements run on one thread of their own: each method is one piece of work there, so no two of
them ever interleave and the event loop never waits for the disk. Only what searches call records,
of which there may be millions, runs beside them, on a connection that can but read.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import orjson

from manager.launchers.base import LaunchedNode
from manager.stores.base import StoredNode, StoredTool
from manager.stores.calls import (
    COLUMNS,
    EVERY_CALL,
    By,
    CallFilter,
    CallRecord,
    CallSum,
    Position,
    Repeats,
    duration_class,
)
from wire.errors import StoreUnavailable
from wire.models import NodeReport, Registration, ToolInfo

T = TypeVar("T")
log = logging.getLogger(__name__)

MEMORY = ":memory:"
SCHEMA = (
    """
    CREATE TABLE nodes (id TEXT PRIMARY KEY, report BLOB NOT NULL, seen_at REAL NOT NULL);
    CREATE TABLE tools (
        server TEXT NOT NULL, name TEXT NOT NULL, tool BLOB NOT NULL,
        first_seen REAL NOT NULL, last_seen REAL NOT NULL, PRIMARY KEY (server, name)
    );
    CREATE TABLE calls (
        id TEXT PRIMARY KEY, tool TEXT NOT NULL, server TEXT, node TEXT, owner TEXT NOT NULL,
        started_at REAL NOT NULL, duration_ms REAL NOT NULL, outcome TEXT NOT NULL,
        request_bytes INTEGER NOT NULL, result_bytes INTEGER NOT NULL,
        arguments BLOB, result BLOB
    );
    CREATE INDEX calls_started_at ON calls (started_at);
    CREATE TABLE launched (
        id TEXT PRIMARY KEY, launcher TEXT NOT NULL, reference TEXT NOT NULL, log TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE registrations (
        name TEXT PRIMARY KEY, registration BLOB NOT NULL, revision INTEGER NOT NULL,
        gone INTEGER NOT NULL
    );
    """,
    """
    ALTER TABLE calls ADD COLUMN digest TEXT;
    ALTER TABLE calls ADD COLUMN trace TEXT;
    ALTER TABLE calls ADD COLUMN key TEXT NOT NULL DEFAULT '';
    ALTER TABLE calls ADD COLUMN session TEXT;
    ALTER TABLE calls ADD COLUMN duration_class INTEGER NOT NULL DEFAULT 0;
    UPDATE calls SET key = substr(owner, 1, instr(owner || '/', '/') - 1),
        session = nullif(substr(owner, instr(owner || '/', '/') + 1), ''),
        duration_class = duration_class(duration_ms);
    DROP INDEX calls_started_at;
    CREATE INDEX calls_newest ON calls (started_at, id);
    CREATE INDEX calls_session ON calls (session, started_at);
    CREATE INDEX calls_tool ON calls (tool, started_at);
    """,
)
"""One script for each version of the schema; a script that was released never changes."""

RECORD = tuple(field.name for field in fields(CallRecord))
BESIDE = ("key", "session", "duration_class")
ADD_CALL = (
    f"INSERT OR IGNORE INTO calls ({', '.join((*RECORD, *BESIDE))})"
    f" VALUES ({', '.join('?' * len((*RECORD, *BESIDE)))})"
)
SAVE_TOOL = """
    INSERT INTO tools VALUES (?, ?, ?, ?, ?) ON CONFLICT (server, name)
    DO UPDATE SET tool = excluded.tool, last_seen = excluded.last_seen
"""


class SqliteStore:
    """See `Store`.

    Args:
        path: The database's file, or `:memory:`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._searching = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None

    async def open(self) -> None:
        """See `Store`; a file that another manager uses is refused."""
        await self._on_thread(self._open)

    async def close(self) -> None:
        """See `Store`."""
        await self._on_thread(self._close)

    async def check(self) -> None:
        """See `Store`; a file that was removed under us counts as away."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("SELECT count(*) FROM nodes").fetchone()
            if self._path != MEMORY and not os.path.exists(self._path):
                raise OSError(f"{self._path} was removed; restart the manager")

        await self._run(work)

    async def save_node(self, report: NodeReport, seen_at: float) -> None:
        """See `Store`."""
        row = (report.id, report.model_dump_json(), seen_at)
        await self._write("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", [row])

    async def nodes(self) -> list[StoredNode]:
        """See `Store`."""
        rows = await self._read("SELECT id, report, seen_at FROM nodes ORDER BY id")
        return _readable(rows, lambda r, seen: StoredNode(NodeReport.model_validate_json(r), seen))

    async def forget_node(self, node_id: str) -> None:
        """See `Store`."""
        await self._write("DELETE FROM nodes WHERE id = ?", [(node_id,)])

    async def save_tools(self, tools: Sequence[ToolInfo], seen_at: float) -> None:
        """See `Store`."""
        rows = [(t.server, t.name, t.model_dump_json(), seen_at, seen_at) for t in tools]
        await self._write(SAVE_TOOL, rows)

    async def tools(self) -> list[StoredTool]:
        """See `Store`."""
        rows = await self._read(
            "SELECT name, tool, first_seen, last_seen FROM tools ORDER BY server, name"
        )
        return _readable(rows, lambda t, *seen: StoredTool(ToolInfo.model_validate_json(t), *seen))

    async def save_registration(self, registration: Registration, replaces: int | None) -> bool:
        """See `Store`."""
        gone = registration.entry is None
        row = (registration.model_dump_json(), registration.revision, gone, registration.name)
        if replaces is None:
            query = (
                "INSERT OR IGNORE INTO registrations (registration, revision, gone, name)"
                " VALUES (?, ?, ?, ?)"
            )
            return await self._write(query, [row]) > 0
        query = (
            "UPDATE registrations SET registration = ?, revision = ?, gone = ?"
            " WHERE name = ? AND revision = ?"
        )
        return await self._write(query, [(*row, replaces)]) > 0

    async def registrations(self) -> list[Registration]:
        """See `Store`."""
        rows = await self._read("SELECT name, registration FROM registrations ORDER BY name")
        return _readable(rows, Registration.model_validate_json)

    async def sweep_registrations(self, older_than: int) -> int:
        """See `Store`."""
        query = "DELETE FROM registrations WHERE gone AND revision < ?"
        return await self._write(query, [(older_than,)])

    async def add_calls(self, calls: Sequence[CallRecord]) -> None:
        """See `Store`."""
        await self._write(ADD_CALL, map(_call_row, calls))

    async def calls(
        self, limit: int, wanted: CallFilter = EVERY_CALL, after: Position | None = None
    ) -> list[CallRecord]:
        """See `Store`."""
        where, values = _where(wanted)
        if after is not None:
            where += " AND (started_at, id) < (?, ?)"
            values += [after.started_at, after.id]
        rows = await self._search(
            f"SELECT {', '.join(RECORD)} FROM calls WHERE {where}"
            " ORDER BY started_at DESC, id DESC LIMIT ?",
            [*values, limit],
        )
        return [CallRecord(*row[:10], *map(_loads, row[10:12]), *row[12:]) for row in rows]

    async def sum_calls(self, by: By, wanted: CallFilter) -> list[CallSum]:
        """See `Store`."""
        where, values = _where(wanted)
        group = ", ".join(COLUMNS[by])
        rows = await self._search(
            f"SELECT outcome, duration_class, count(*), sum(request_bytes), sum(result_bytes),"
            f" {group} FROM calls WHERE {where} GROUP BY outcome, duration_class, {group}",
            values,
        )
        return [CallSum(tuple(row[5:]), *row[:5]) for row in rows]

    async def repeats(self, by: By, wanted: CallFilter) -> list[Repeats]:
        """See `Store`."""
        where, values = _where(wanted)
        group = ", ".join(COLUMNS[by])
        rows = await self._search(
            f"SELECT sum(calls), count(*), {group} FROM ("
            f"SELECT count(*) AS calls, {group} FROM calls"
            f" WHERE {where} AND session IS NOT NULL AND digest IS NOT NULL"
            f" GROUP BY {group}, owner, server, tool, digest) GROUP BY {group}",
            values,
        )
        return [Repeats(tuple(row[2:]), *row[:2]) for row in rows]

    async def sweep_calls(self, older_than: float) -> int:
        """See `Store`."""
        return await self._write("DELETE FROM calls WHERE started_at < ?", [(older_than,)])

    async def save_launched(self, node: LaunchedNode) -> None:
        """See `Store`."""
        row = (node.id, node.launcher, node.reference, node.log)
        await self._write("INSERT OR REPLACE INTO launched VALUES (?, ?, ?, ?)", [row])

    async def launched(self) -> list[LaunchedNode]:
        """See `Store`."""
        rows = await self._read("SELECT id, launcher, reference, log FROM launched ORDER BY id")
        return [LaunchedNode(*row) for row in rows]

    async def forget_launched(self, node_id: str) -> None:
        """See `Store`."""
        await self._write("DELETE FROM launched WHERE id = ?", [(node_id,)])

    async def _read(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        return await self._run(lambda c: c.execute(query, values).fetchall())

    async def _search(self, query: str, values: Sequence[object]) -> list[Any]:
        if self._path == MEMORY:
            return await self._read(query, tuple(values))

        def work() -> list[Any]:
            if self._connection is None:
                raise sqlite3.ProgrammingError("the store is not open")
            address = f"{Path(self._path).absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True)) as connection:
                return connection.execute(query, values).fetchall()

        return await self._on_thread(work, self._searching)

    async def _write(self, query: str, rows: Iterable[tuple[object, ...]]) -> int:
        """Run a statement for each row; return how many records it touched."""
        return await self._run(lambda c: c.executemany(query, rows).rowcount)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do one piece of work in one transaction.

        It must not return a cursor: one that is freed on the loop's thread resets its statement
        while the store's thread may be using it.
        """

        def guarded() -> T:
            if self._connection is None:
                raise sqlite3.ProgrammingError("the store is not open")
            with self._connection:
                return work(self._connection)

        return await self._on_thread(guarded)

    async def _on_thread(
        self, work: Callable[[], T], thread: ThreadPoolExecutor | None = None
    ) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(thread or self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"The store at {self._path} failed: {error}.") from error

    def _open(self) -> None:
        if self._connection is not None:
            return
        if self._path != MEMORY:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(f"{self._path}.lock")
        try:
            connection = sqlite3.connect(self._path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.create_function("duration_class", 1, duration_class, deterministic=True)
            _upgrade(connection)
        except sqlite3.Error:
            self._close()
            raise
        self._connection = connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def _lock(path: str) -> int:
    """Hold a lock for as long as the descriptor is open; SQLite serves one manager."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError("another manager uses it, and SQLite serves only one") from None
    return descriptor


def _upgrade(connection: sqlite3.Connection) -> None:
    """Run the scripts that the database has not seen yet."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(SCHEMA):
        raise sqlite3.DatabaseError("it was written by a newer version of AgentDock")
    for number, script in enumerate(SCHEMA[version:], start=version + 1):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _readable(rows: Iterable[tuple[Any, ...]], read: Callable[..., T]) -> list[T]:
    """Read rows, whose first column names them; one that another version wrote is passed over."""
    found = []
    for name, *columns in rows:
        try:
            found.append(read(*columns))
        except ValueError as error:
            reason = str(error).partition("\n")[0]
            log.warning(
                "%r in the store cannot be read, so it waits for a report: %s", name, reason
            )
    return found


def _where(wanted: CallFilter) -> tuple[str, list[object]]:
    """Return the condition of a filter, and its values."""
    equals = wanted.equals()
    conditions = ["TRUE", *(f"{name} = ?" for name in equals)]
    values: list[object] = [*equals.values()]
    for bound, sign in ((wanted.since, ">="), (wanted.until, "<")):
        if bound is not None:
            conditions.append(f"started_at {sign} ?")
            values.append(bound)
    return " AND ".join(conditions), values


def _call_row(call: CallRecord) -> tuple[object, ...]:
    return (
        call.id,
        call.tool,
        call.server,
        call.node,
        call.owner,
        call.started_at,
        call.duration_ms,
        call.outcome,
        call.request_bytes,
        call.result_bytes,
        None if call.arguments is None else orjson.dumps(call.arguments),
        None if call.result is None else orjson.dumps(call.result),
        call.digest,
        call.trace,
        call.key,
        call.session,
        call.duration_class,
    )


def _loads(body: bytes | None) -> Any:
    return None if body is None else orjson.loads(body)
