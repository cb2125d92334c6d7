"""Call records as documents for MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson

from manager.stores.base import CallRecord

Document: TypeAlias = dict[str, Any]

MAX_BODY = 7 * 1024 * 1024
"""Longest arguments or result that a record keeps: a document takes 16 MB."""

MAX_BATCH = 500
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""A batch has to arrive within the bound of one operation."""


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Divide documents into batches that are small in number and bytes."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        size += len(document["arguments"] or b"") + len(document["result"] or b"")
        if batch and (len(batch) >= MAX_BATCH or size > MAX_BATCH_BYTES):
            yield batch
            batch = []
            size = len(document["arguments"] or b"") + len(document["result"] or b"")
        batch.append(document)
    if batch:
        yield batch


def call_document(call: CallRecord) -> Document:
    """Return the document of a call."""
    return {
        "_id": call.id,
        "tool": call.tool,
        "server": call.server,
        "node": call.node,
        "owner": call.owner,
        "started_at": call.started_at,
        "duration_ms": call.duration_ms,
        "outcome": call.outcome,
        "request_bytes": call.request_bytes,
        "result_bytes": call.result_bytes,
        "arguments": _body(call.arguments),
        "result": _body(call.result),
        # What the expiry goes by: it takes only a date, which is not as exact as ours.
        "at": datetime.fromtimestamp(call.started_at, UTC),
    }


def call_record(document: Document) -> CallRecord:
    """Return the call of a document, which is used up."""
    del document["at"]
    document["id"] = document.pop("_id")
    for name in ("arguments", "result"):
        if document[name] is not None:
            document[name] = orjson.loads(document[name])
    return CallRecord(**document)


def _body(body: Document | None) -> bytes | None:
    if body is None:
        return None
    text = orjson.dumps(body)
    return text if len(text) <= MAX_BODY else None
