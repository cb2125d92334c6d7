"""Call records as documents for MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson

from manager.stores.calls import (
    COLUMNS,
    By,
    CallFilter,
    CallRecord,
    CallSum,
    Group,
    Position,
)

Document: TypeAlias = dict[str, Any]

MAX_BODY = 7 * 1024 * 1024
"""Longest arguments or result that a record keeps: a document takes 16 MB."""

MAX_BATCH = 500
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""A batch has to arrive within the bound of one operation."""


BESIDE = ("key", "session", "duration_class")
"""What is kept beside a record, to find it and to add it up."""


def match_calls(wanted: CallFilter, after: Position | None = None) -> Document:
    """Return the query for the wanted calls, from behind a position."""
    match: Document = dict(wanted.equals())
    bounds = {"$gte": wanted.since, "$lt": wanted.until}
    times = {sign: time for sign, time in bounds.items() if time is not None}
    if times:
        match["started_at"] = times
    if after is not None:
        match["$or"] = [
            {"started_at": {"$lt": after.started_at}},
            {"started_at": after.started_at, "_id": {"$lt": after.id}},
        ]
    return match


def sums_of(by: By, wanted: CallFilter) -> list[Document]:
    """Return the aggregation that adds calls up."""
    group = {name: f"${name}" for name in (*COLUMNS[by], "outcome", "duration_class")}
    sums = {
        "calls": {"$sum": 1},
        "request_bytes": {"$sum": "$request_bytes"},
        "result_bytes": {"$sum": "$result_bytes"},
    }
    return [{"$match": match_calls(wanted)}, {"$group": {"_id": group, **sums}}]


def call_sum(by: By, document: Document) -> CallSum:
    """Return one sum of `sums_of`."""
    group = document["_id"]
    return CallSum(
        group_in(by, group),
        group["outcome"],
        group["duration_class"],
        document["calls"],
        document["request_bytes"],
        document["result_bytes"],
    )


def repeats_of(by: By, wanted: CallFilter) -> list[Document]:
    """Return the aggregation that counts calls of Sessions and the different ones among them."""
    match = match_calls(wanted)
    in_sessions = {"$and": [match, {"session": {"$ne": None}}, {"digest": {"$ne": None}}]}
    columns = COLUMNS[by]
    each = {name: f"${name}" for name in {*columns, "owner", "server", "tool", "digest"}}
    group = {name: f"$_id.{name}" for name in columns}
    return [
        {"$match": in_sessions},
        {"$group": {"_id": each, "calls": {"$sum": 1}}},
        {"$group": {"_id": group, "calls": {"$sum": "$calls"}, "distinct": {"$sum": 1}}},
    ]


def group_in(by: By, document: Document) -> Group:
    """Return the group that a document names; what is null may be left out of it."""
    return tuple(document.get(name) for name in COLUMNS[by])


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
        "digest": call.digest,
        "trace": call.trace,
        **{name: getattr(call, name) for name in BESIDE},
        "arguments": _body(call.arguments),
        "result": _body(call.result),
        # What the expiry goes by: it takes only a date, which is not as exact as ours.
        "at": datetime.fromtimestamp(call.started_at, UTC),
    }


def call_record(document: Document) -> CallRecord:
    """Return the call of a document, which is used up."""
    for name in ("at", *BESIDE):
        document.pop(name, None)
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
