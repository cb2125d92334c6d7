"""The manager's routes for call records: list them page by page, add them up."""

from __future__ import annotations

import binascii
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Request

from manager.records import Recorder
from manager.registry import Registry
from manager.stats import group_stats
from manager.stores.base import Store
from manager.stores.calls import By, CallFilter, CallRecord, Position
from manager.views import CallList, CallView, Stats
from wire.errors import BadRequest, Forbidden
from wire.faces.caller import caller_of

MAX_CALLS = 1000
STATS_S = 86_400.0

Time = Annotated[
    datetime | None, Query(description="ISO 8601 (UTC unless it says otherwise) or Unix seconds.")
]
Exact = Annotated[str | None, Query(max_length=256)]


def _wanted(
    request: Request,
    session: Exact = None,
    tool: Exact = None,
    server: Exact = None,
    node: Exact = None,
    key: Exact = None,
    outcome: Exact = None,
    trace: Exact = None,
    since: Time = None,
    until: Time = None,
) -> CallFilter:
    """Return which calls are wanted: of all keys by an admin, else the caller's own.

    Raises:
        Forbidden: an agent asks for another key's.
    """
    caller = caller_of(request.scope)
    if not caller.admin:
        if key not in (None, caller.key):
            raise Forbidden("A key with the role agent sees its own calls only.")
        key = caller.key
    return CallFilter(key, session, tool, server, node, outcome, trace, _unix(since), _unix(until))


def _of_tool(registry: Registry, wanted: CallFilter) -> CallFilter:
    """Tell server and tool apart in a name that holds both; a tool's own may look as if it did."""
    name = wanted.tool
    if name is None or wanted.server is not None or registry.is_bare(name):
        return wanted
    info = registry.known(name)
    if info is not None:
        return replace(wanted, server=info.server, tool=info.name)
    server, mark, tool = name.partition("__" if "__" in name else ".")
    return replace(wanted, server=server, tool=tool) if mark else wanted


Wanted = Annotated[CallFilter, Depends(_wanted)]


def calls_router(store: Store, recorder: Recorder, registry: Registry) -> APIRouter:
    """Return the routes over a store, behind a recorder that may hold the newest records.

    Args:
        store: Keeps the records.
        recorder: Holds those that are not kept yet.
        registry: Knows what names of tools mean.
    """
    router = APIRouter(prefix="/v1", tags=["calls"])

    @router.get("/calls", summary="Records of calls, newest first")
    async def calls(
        wanted: Wanted,
        limit: Annotated[int, Query(ge=1, le=MAX_CALLS)] = 100,
        cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    ) -> CallList:
        """List what was called, by whom, where, for how long and with what outcome."""
        await recorder.flush()
        after = None if cursor is None else _position(cursor)
        found = await store.calls(limit + 1, _of_tool(registry, wanted), after)
        page = found[:limit]
        views = [CallView.model_validate(record) for record in page]
        more = _cursor(page[-1]) if len(found) > limit else None
        return CallList(calls=views, dropped=recorder.dropped, next=more)

    @router.get("/stats", summary="Calls added up")
    async def stats(wanted: Wanted, by: By = "tool") -> Stats:
        """Tell how many calls there were, how they ended, how long they took and what repeated.

        Of the last day unless `since` says otherwise.
        """
        await recorder.flush()
        until = time.time() if wanted.until is None else wanted.until
        since = until - STATS_S if wanted.since is None else wanted.since
        chosen = replace(_of_tool(registry, wanted), since=since, until=until)
        sums = await store.sum_calls(by, chosen)
        repeats = await store.repeats(by, chosen)
        by_tool = await store.repeats("tool", chosen) if by == "node" else repeats
        groups, total = group_stats(by, sums, repeats, by_tool)
        return Stats(by=by, since=since, until=until, groups=groups, total=total)

    return router


def _unix(time: datetime | None) -> float | None:
    if time is None:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _cursor(record: CallRecord) -> str:
    place = orjson.dumps([record.started_at, record.id])
    return urlsafe_b64encode(place).decode().rstrip("=")


def _position(cursor: str) -> Position:
    try:
        started_at, call_id = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return Position(float(started_at), str(call_id))
    except (binascii.Error, ValueError, TypeError):
        raise BadRequest(f"cursor={cursor[:80]!r} is not the `next` of an earlier page.") from None
