"""The store in MongoDB, for any number of managers. The only file that knows the driver.

What we only hand back is kept as JSON in bytes: tools and arguments hold keys and numbers that
documents do not take.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne, WriteConcern, timeout
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from manager.launchers.base import LaunchedNode
from manager.stores.address import MongoAddress
from manager.stores.base import StoredNode, StoredTool
from manager.stores.calls import EVERY_CALL, By, CallFilter, CallRecord, CallSum, Position, Repeats
from manager.stores.mongo_calls import (
    Document,
    batches,
    call_document,
    call_record,
    call_sum,
    group_in,
    match_calls,
    repeats_of,
    sums_of,
)
from manager.stores.mongo_reports import readable, stored_node, stored_tool
from manager.stores.sharing import Heartbeat
from wire.errors import StoreUnavailable
from wire.models import NodeReport, Registration, ToolInfo

T = TypeVar("T")
log = logging.getLogger(__name__)
Database: TypeAlias = "AsyncIOMotorDatabase[Document]"

SCHEMA = 1
OPTIONS: dict[str, Any] = {
    "timeoutms": 2000,
    "sockettimeoutms": 2000,
    "connecttimeoutms": 2000,
    "appname": "agentdock-manager",
}
"""What holds unless the URL says otherwise; the first bounds whole operations."""

BOUND_S = 3.0
"""Longest wait whatever the driver does, such as looking up names."""

SEARCH_S = 20.0
"""The same for what reads call records, of which there may be millions."""

RETRY_S = 0.5
DURABLE = WriteConcern("majority", j=True)
CHEAP = WriteConcern(1)

INDEXES = [
    IndexModel([("started_at", DESCENDING), ("_id", DESCENDING)], name="newest"),
    IndexModel([("session", ASCENDING), ("started_at", DESCENDING)], name="of_session"),
    IndexModel([("tool", ASCENDING), ("started_at", DESCENDING)], name="of_tool"),
]
"""The indexes of call records beside their expiry."""

EXPIRY = "expiry"
MAX_EXPIRY_S = 2**31 - 1
DAY_S = 86_400
DUPLICATE = 11000
TOO_LARGE = 10334
OTHER_OPTIONS = (85, 86)
"""Codes of IndexOptionsConflict and IndexKeySpecsConflict."""


class MongoStore:
    """See `SharedStore`.

    While the server is away, one attempt in a while finds that out and the rest fail at once.

    Args:
        address: Where the database is.
        keep_days: Days after which the server drops call records.

    Raises:
        ValueError: the driver does not take the URL.
    """

    def __init__(self, address: MongoAddress, keep_days: float = 30) -> None:
        _check_options(address)
        self._address = address
        self._expire_s = min(round(keep_days * DAY_S), MAX_EXPIRY_S)
        self._writer = secrets.token_hex(8)
        self._client: AsyncIOMotorClient[Document] | None = None
        self._checked = False
        self._away: str | None = None
        self._retry_at = 0.0

    async def open(self) -> None:
        """See `Store`; if the server is away, later calls connect by themselves."""
        if self._client is None:
            # The driver's own lines at DEBUG would show whole documents.
            logging.getLogger("pymongo").setLevel(logging.WARNING)
            given: dict[str, Any] = {
                k: v for k, v in OPTIONS.items() if k not in self._address.options
            }
            loop = asyncio.get_running_loop()
            try:
                self._client = AsyncIOMotorClient(self._address.url, io_loop=loop, **given)
            except (PyMongoError, ValueError, TypeError):
                # Its text may quote the URL.
                raise StoreUnavailable(_refused(self._address)) from None
        await self.check()

    async def close(self) -> None:
        """See `Store`."""
        client, self._client = self._client, None
        self._checked = False
        self._away = None
        if client is not None:
            await asyncio.to_thread(client.close)

    async def check(self) -> None:
        """See `Store`."""
        await self._run(lambda db: db.command("ping"))

    async def save_node(self, report: NodeReport, seen_at: float) -> None:
        """See `Store`."""
        fields = {
            "report": report.model_dump_json().encode(),
            "stamp": list(report.stamp),
            **self._life(report, seen_at),
        }
        update = {"$set": fields, "$inc": {"beat": 1}}
        await self._run(lambda db: db.nodes.update_one({"_id": report.id}, update, upsert=True))

    async def beat_node(self, report: NodeReport, seen_at: float) -> bool:
        """See `SharedStore`."""
        match = {"_id": report.id, "stamp": list(report.stamp)}
        update = {"$set": self._life(report, seen_at), "$inc": {"beat": 1}}
        done = await self._run(
            lambda db: db.nodes.with_options(write_concern=CHEAP).update_one(match, update)
        )
        return bool(done.matched_count)

    async def heartbeats(self) -> list[Heartbeat]:
        """See `SharedStore`."""
        found = await self._find("nodes", {}, {"report": 0, "seen_at": 0})
        return [
            Heartbeat(
                d["_id"], tuple(d["stamp"]), d["beat"], d["in_flight"], d["by"] == self._writer
            )
            for d in found
        ]

    async def nodes(self) -> list[StoredNode]:
        """See `Store`."""
        return readable(await self._find("nodes", {}), stored_node)

    async def nodes_named(self, node_ids: Sequence[str]) -> list[StoredNode]:
        """See `SharedStore`."""
        found = await self._find("nodes", {"_id": {"$in": list(node_ids)}})
        return readable(found, stored_node)

    async def forget_node(self, node_id: str) -> None:
        """See `Store`."""
        await self._run(lambda db: db.nodes.delete_one({"_id": node_id}))

    async def save_tools(self, tools: Sequence[ToolInfo], seen_at: float) -> None:
        """See `Store`."""
        updates = [_tool_update(tool, seen_at) for tool in tools]
        if updates:
            await self._run(lambda db: db.tools.bulk_write(updates, ordered=False))

    async def tools(self) -> list[StoredTool]:
        """See `Store`."""
        return readable(await self._find("tools", {}), stored_tool)

    async def save_registration(self, registration: Registration, replaces: int | None) -> bool:
        """See `Store`."""
        fields = {
            "registration": registration.model_dump_json().encode(),
            "revision": registration.revision,
            "gone": registration.entry is None,
        }
        name = registration.name
        if replaces is None:
            insert = {"$setOnInsert": fields}
            made = await self._run(
                lambda db: db.registrations.update_one({"_id": name}, insert, upsert=True)
            )
            return made.upserted_id is not None
        match = {"_id": name, "revision": replaces}
        done = await self._run(lambda db: db.registrations.update_one(match, {"$set": fields}))
        return bool(done.matched_count)

    async def registrations(self) -> list[Registration]:
        """See `Store`."""
        found = await self._find("registrations", {})
        return readable(found, lambda d: Registration.model_validate_json(d["registration"]))

    async def sweep_registrations(self, older_than: int) -> int:
        """See `Store`."""
        match = {"gone": True, "revision": {"$lt": older_than}}
        done = await self._run(lambda db: db.registrations.delete_many(match))
        return int(done.deleted_count)

    async def add_calls(self, calls: Sequence[CallRecord]) -> None:
        """See `Store`."""
        for batch in batches(map(call_document, calls)):
            await self._run(partial(_add, batch))

    async def calls(
        self, limit: int, wanted: CallFilter = EVERY_CALL, after: Position | None = None
    ) -> list[CallRecord]:
        """See `Store`."""
        match = match_calls(wanted, after)
        order = [("started_at", DESCENDING), ("_id", DESCENDING)]
        found = await self._search(
            lambda db: db.calls.find(match).sort(order).limit(limit).to_list(None)
        )
        return [call_record(d) for d in found]

    async def sum_calls(self, by: By, wanted: CallFilter) -> list[CallSum]:
        """See `Store`."""
        steps = sums_of(by, wanted)
        found = await self._search(lambda db: db.calls.aggregate(steps).to_list(None))
        return [call_sum(by, d) for d in found]

    async def repeats(self, by: By, wanted: CallFilter) -> list[Repeats]:
        """See `Store`."""
        steps = repeats_of(by, wanted)
        found = await self._search(lambda db: db.calls.aggregate(steps).to_list(None))
        return [Repeats(group_in(by, d["_id"]), d["calls"], d["distinct"]) for d in found]

    async def sweep_calls(self, older_than: float) -> int:
        """See `Store`."""
        match = {"started_at": {"$lt": older_than}}
        done = await self._run(lambda db: db.calls.delete_many(match))
        return int(done.deleted_count)

    async def save_launched(self, node: LaunchedNode) -> None:
        """See `Store`."""
        fields = {"launcher": node.launcher, "reference": node.reference, "log": node.log}
        await self._run(lambda db: db.launched.replace_one({"_id": node.id}, fields, upsert=True))

    async def launched(self) -> list[LaunchedNode]:
        """See `Store`."""
        return [
            LaunchedNode(d["_id"], d["launcher"], d["reference"], d["log"])
            for d in await self._find("launched", {})
        ]

    async def forget_launched(self, node_id: str) -> None:
        """See `Store`."""
        await self._run(lambda db: db.launched.delete_one({"_id": node_id}))

    def _life(self, report: NodeReport, seen_at: float) -> Document:
        return {"seen_at": seen_at, "in_flight": report.in_flight, "by": self._writer}

    async def _find(
        self, collection: str, match: Document, fields: Document | None = None
    ) -> list[Document]:
        """Return the matching documents by id."""
        return await self._run(
            lambda db: db[collection].find(match, fields).sort("_id", ASCENDING).to_list(None)
        )

    async def _search(self, work: Callable[[Database], Awaitable[T]]) -> T:
        """Read what may be much. That it takes long does not mean that the server is away."""
        if self._away is not None or not self._checked:
            await self.check()
        try:
            with timeout(SEARCH_S):
                async with asyncio.timeout(SEARCH_S + 1):
                    return await work(self._database())
        except (PyMongoError, OSError) as error:
            if isinstance(error, TimeoutError) or getattr(error, "timeout", False):
                raise StoreUnavailable(
                    f"The store at {self._address.name} did not find it within {SEARCH_S:g} s. "
                    "Ask for a shorter time."
                ) from error
            raise self._failed(error) from error

    def _database(self) -> Database:
        if self._client is None:
            raise StoreUnavailable(f"The store at {self._address.name} is not open.")
        return self._client.get_database(self._address.database, write_concern=DURABLE)

    async def _run(self, work: Callable[[Database], Awaitable[T]]) -> T:
        """Do one piece of work in bounded time, on a database whose schema was checked."""
        db = self._database()
        if self._away is not None:
            if time.monotonic() < self._retry_at:
                raise StoreUnavailable(self._away)
            # Only this one tries while the others still fail at once.
            self._retry_at = time.monotonic() + BOUND_S
        try:
            async with asyncio.timeout(BOUND_S):
                if not self._checked:
                    await self._check_schema(db)
                done = await work(db)
        except BSONError as error:
            # It would be as wrong the next time: the server is not to blame.
            raise ValueError(str(error)) from error
        except (PyMongoError, OSError) as error:  # TimeoutError is an OSError
            raise self._failed(error) from error
        self._away = None
        return done

    def _failed(self, error: Exception) -> StoreUnavailable:
        text = f"The store at {self._address.name} failed: {_reason(error)}."
        if not (self._checked and isinstance(error, OperationFailure)):
            self._away = text
            self._retry_at = time.monotonic() + RETRY_S
            # Who comes back may have lost everything, or be somebody else.
            self._checked = False
        return StoreUnavailable(text)

    async def _check_schema(self, db: Database) -> None:
        """Make the indexes, and refuse a database that a newer version wrote."""
        await db.schema.update_one({"_id": "schema"}, {"$max": {"version": SCHEMA}}, upsert=True)
        kept = await db.schema.find_one({"_id": "schema"})
        if kept is not None and kept["version"] > SCHEMA:
            raise OperationFailure("it was written by a newer version of AgentDock")
        await db.calls.create_indexes(INDEXES)
        expiry = IndexModel([("at", ASCENDING)], name=EXPIRY, expireAfterSeconds=self._expire_s)
        try:
            await db.calls.create_indexes([expiry])
        except OperationFailure as error:
            if error.code not in OTHER_OPTIONS:
                raise
            change = {"name": EXPIRY, "expireAfterSeconds": self._expire_s}
            await db.command({"collMod": "calls", "index": change})
        made = await db.calls.index_information()
        wanted = {index.document["name"] for index in INDEXES}
        if wanted - made.keys() or made.get(EXPIRY, {}).get("expireAfterSeconds") != self._expire_s:
            raise OperationFailure("its indexes could not be made as they should be")
        self._checked = True


def _check_options(address: MongoAddress) -> None:
    """Let the driver judge the URL, unless that takes a look at the network.

    Raises:
        ValueError: it does not take it. The text has no value of the URL.
    """
    if address.url.startswith("mongodb+srv"):
        return
    try:
        parse_uri(address.url, validate=True, warn=False)
    except (PyMongoError, ValueError, TypeError):
        raise ValueError(_refused(address)) from None


def _refused(address: MongoAddress) -> str:
    return f"MongoDB's driver refuses the URL of {address.name}; check hosts, ports and options"


def _reason(error: Exception) -> str:
    """Say what happened, in the driver's or server's words, without its picture of the topology."""
    if isinstance(error, TimeoutError):
        return f"no answer within {BOUND_S:g} s"
    if isinstance(error, BulkWriteError):  # its own text shows whole documents
        faults = [*error.details["writeErrors"], *error.details["writeConcernErrors"]]
        return str(next((fault["errmsg"] for fault in faults if "errmsg" in fault), "refused"))
    if isinstance(error, OperationFailure) and error.details:
        return str(error.details.get("errmsg") or error).rstrip(".")
    text = str(error).partition(", Timeout: ")[0].partition(" (configured timeouts")[0]
    return (text or type(error).__name__).rstrip(".")


def _tool_update(tool: ToolInfo, seen_at: float) -> UpdateOne:
    return UpdateOne(
        {"_id": {"server": tool.server, "name": tool.name}},
        {
            "$set": {"tool": tool.model_dump_json().encode(), "last_seen": seen_at},
            "$setOnInsert": {"first_seen": seen_at},
        },
        upsert=True,
    )


async def _add(documents: list[Document], db: Database) -> None:
    """Insert call records, passing over those that are kept already."""
    try:
        await db.calls.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        faults = {f["code"]: f["errmsg"] for f in error.details["writeErrors"]}
        if TOO_LARGE in faults:
            raise ValueError(faults[TOO_LARGE]) from None
        if faults.keys() != {DUPLICATE} or error.details["writeConcernErrors"]:
            raise
