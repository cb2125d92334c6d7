"""Keeps the records of calls in memory until they are written, in batches, off the calls' path."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from manager.stores.base import Store
from manager.stores.calls import CallRecord
from wire.errors import StoreUnavailable

log = logging.getLogger(__name__)

BATCH = 2000
SWEEP_EVERY_S = 3600.0
DAY_S = 86_400.0


class Recorder:
    """Writes call records behind the calls' back.

    While the store is away records wait, up to a bound; more are dropped and counted. `trouble`
    says why the last write failed, if it did.

    Args:
        store: Where they go.
        keep_days: Days after which records are deleted; None if the store does that by itself.
        flush_s: Seconds between two writes, which is also what a SIGKILL can lose.
        max_records: Most records that wait.
        max_body_bytes: Most bytes of arguments and results that wait; records go without beyond.
        clock: Returns the Unix time.
    """

    def __init__(
        self,
        store: Store,
        *,
        keep_days: float | None = 30,
        flush_s: float = 0.5,
        max_records: int = 100_000,
        max_body_bytes: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._keep_s = None if keep_days is None else keep_days * DAY_S
        self._flush_s = flush_s
        self._max_records = max_records
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._waiting: list[CallRecord] = []
        self._body_bytes = 0
        self._swept_at = 0.0
        self._flushing = asyncio.Lock()
        self.dropped = 0
        self.trouble: str | None = None

    @property
    def waiting(self) -> int:
        """How many records wait to be written."""
        return len(self._waiting)

    def add(self, record: CallRecord) -> None:
        """Take a record; it is written within `flush_s`."""
        if len(self._waiting) >= self._max_records:
            self.dropped += 1
            return
        self._body_bytes += _body_bytes(record)
        if self._body_bytes > self._max_body_bytes:
            self._drop_body(record)
        self._waiting.append(record)

    async def flush(self) -> None:
        """Write what waits; what the store does not take keeps waiting."""
        # One at a time: two would write the same batch and each take it off what waits.
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:BATCH]
                await self._write(batch)
                del self._waiting[: len(batch)]
                self._body_bytes -= sum(map(_body_bytes, batch))
            await self._sweep()
        except StoreUnavailable as error:
            if self.trouble is None:
                log.error("call records wait in memory: %s", error.detail)
            self.trouble = error.detail
            return
        if self.trouble is not None:
            log.info("the store is back; %d call records were dropped meanwhile", self.dropped)
        self.trouble = None

    async def _write(self, batch: Sequence[CallRecord]) -> None:
        """Write records; one that cannot be written goes without its body, or not at all.

        Looked for by halves, so that the one never keeps the others waiting.
        """
        try:
            await self._store.add_calls(batch)
        except (TypeError, ValueError, OverflowError) as error:
            half = len(batch) // 2
            if half:
                await self._write(batch[:half])
                await self._write(batch[half:])
            elif batch[0].arguments is not None:
                log.warning("the record of call %s goes without its body: %s", batch[0].id, error)
                self._drop_body(batch[0])
                await self._write(batch)
            else:
                log.error("the record of call %s cannot be written: %s", batch[0].id, error)
                self.dropped += 1

    def _drop_body(self, record: CallRecord) -> None:
        self._body_bytes -= _body_bytes(record)
        record.arguments = record.result = None

    async def _sweep(self) -> None:
        now = self._clock()
        if self._keep_s is not None and now - self._swept_at >= SWEEP_EVERY_S:
            await self._store.sweep_calls(now - self._keep_s)
            self._swept_at = now

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Write regularly while the context is open, and once more at its end."""
        task = asyncio.create_task(self._run(), name="recorder")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._flush_s)
            try:
                await self.flush()
            except Exception:
                log.exception("writing call records failed; they are tried again")


def _body_bytes(record: CallRecord) -> int:
    return 0 if record.arguments is None else record.request_bytes + record.result_bytes
