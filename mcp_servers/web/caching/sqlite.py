"""Keeps values in one SQLite file, which several processes of a machine may share.

A value that cannot be read is a value that is not there: no call fails because of the cache.
"""

from __future__ import annotations

import logging
import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

log = logging.getLogger(__name__)

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (
    key TEXT PRIMARY KEY, size INTEGER NOT NULL, stored REAL NOT NULL, expires REAL NOT NULL,
    used REAL NOT NULL, value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS kept_used ON kept (used, size, key);
"""
BUSY_S = 2.0
USED_S = 60.0
"""Seconds between two notes that a value is used: a note is a write."""

FULL = 0.9
"""The share of the size that remains after the least used values were dropped."""

UNCOUNTED = 0.01
"""The share of the size that a process may add before all is counted again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A value, and when it was stored."""

    value: bytes
    stored: float


class SqliteStore:
    """Keeps values; of too many it drops those that were not used for longest.

    Args:
        path: The file; its folder is made.
        max_bytes: Most bytes of all values, as stored.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._database: sqlite3.Connection | None = None
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._troubled = False
        self._uncounted = 0.0

    async def open(self) -> None:
        """Open the file; make it anew if it is damaged."""
        await self._do(lambda: None)

    async def get(self, key: str, now: float) -> Stored | None:
        """Return what was stored under a key and has not expired."""
        return await self._do(lambda: self._get(key, now))

    async def put(self, key: str, value: bytes, ttl_s: float, now: float) -> None:
        """Store a value for `ttl_s` seconds."""
        await self._do(lambda: self._put(key, value, ttl_s, now))

    async def aclose(self) -> None:
        """Close the file."""
        await self._do(self._close)

    async def _do(self, work: Callable[[], T]) -> T | None:
        def attempt() -> T | None:
            try:
                if self._database is None:
                    self._database = _connect(self._path)
                done = work()
            except (sqlite3.Error, OSError, zlib.error) as error:
                self._close()
                self._note(error)
                return None
            self._troubled = False
            return done

        return await anyio.to_thread.run_sync(attempt, limiter=self._one_at_a_time)

    def _note(self, error: Exception) -> None:
        if not self._troubled:
            log.warning("the result cache is not used: %s", error)
        self._troubled = True

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _get(self, key: str, now: float) -> Stored | None:
        assert self._database is not None
        row = self._database.execute(
            "SELECT value, stored, used FROM kept WHERE key = ? AND expires > ?", (key, now)
        ).fetchone()
        if row is None:
            return None
        value, stored, used = row
        if now - used > USED_S:
            self._database.execute("UPDATE kept SET used = ? WHERE key = ?", (now, key))
        return Stored(zlib.decompress(value), stored)

    def _put(self, key: str, value: bytes, ttl_s: float, now: float) -> None:
        packed = zlib.compress(value, 1)
        if len(packed) > self._max_bytes * (1 - FULL):
            return
        assert self._database is not None
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.execute(
                "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?)",
                (key, len(packed), now, now + ttl_s, now, packed),
            )
            self._uncounted += len(packed)
            if self._uncounted > self._max_bytes * UNCOUNTED:
                self._make_room(now)
        except sqlite3.Error:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _make_room(self, now: float) -> None:
        assert self._database is not None
        self._uncounted = 0.0
        [size] = self._database.execute("SELECT COALESCE(SUM(size), 0) FROM kept").fetchone()
        if size <= self._max_bytes:
            return
        self._database.execute("DELETE FROM kept WHERE expires <= ?", (now,))
        self._database.execute(
            "DELETE FROM kept WHERE key IN (SELECT key FROM (SELECT key, SUM(size) OVER"
            " (ORDER BY used DESC, key) AS so_far FROM kept) WHERE so_far > ?)",
            (self._max_bytes * FULL,),
        )


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _opened(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        log.warning("the result cache %s is damaged and begins anew: %s", path, error)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    # One thread at a time uses it, though not always the same.
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database
