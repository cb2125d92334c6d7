"""The store's promises and the records it keeps. No behaviour lives here.

Records are independent of one another: no method spans several of them in one transaction, so a
document database fits as well as a relational one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from manager.launchers.base import LaunchedNode
from manager.stores.calls import EVERY_CALL, By, CallFilter, CallRecord, CallSum, Position, Repeats
from wire.models import NodeReport, Registration, ToolInfo


@dataclass(frozen=True, slots=True)
class StoredNode:
    """A node's last saved report and when it was saved (Unix seconds)."""

    report: NodeReport
    seen_at: float


@dataclass(frozen=True, slots=True)
class StoredTool:
    """A tool as last seen, with when it was first and last seen (Unix seconds)."""

    tool: ToolInfo
    first_seen: float
    last_seen: float


class Store(Protocol):
    """Keeps records beyond the life of a manager.

    Every method raises StoreUnavailable when the store cannot do it, and then may have done it.
    What a method returned from is durable. All methods may be called concurrently.
    """

    async def open(self) -> None:
        """Connect and bring the schema up to date. Safe to call twice."""
        ...

    async def close(self) -> None:
        """Disconnect. Safe to call twice, and without `open`."""
        ...

    async def check(self) -> None:
        """Return if the store answers."""
        ...

    async def save_node(self, report: NodeReport, seen_at: float) -> None:
        """Keep a node's report in place of its last one."""
        ...

    async def nodes(self) -> list[StoredNode]:
        """Return the kept nodes by id; one that cannot be read any more is passed over."""
        ...

    async def forget_node(self, node_id: str) -> None:
        """Drop a node; nothing happens if it is not kept."""
        ...

    async def save_tools(self, tools: Sequence[ToolInfo], seen_at: float) -> None:
        """Keep tools by server and name; when each was first seen stays as it was."""
        ...

    async def tools(self) -> list[StoredTool]:
        """Return all tools ever saved, by server and name; unreadable ones are passed over."""
        ...

    async def save_registration(self, registration: Registration, replaces: int | None) -> bool:
        """Keep a registration if the kept one of its name has the revision `replaces`.

        Args:
            registration: What to keep.
            replaces: None if none may be kept yet.

        Returns:
            Whether it is kept; if not, nothing changed.
        """
        ...

    async def registrations(self) -> list[Registration]:
        """Return all registrations by name; unreadable ones are passed over."""
        ...

    async def sweep_registrations(self, older_than: int) -> int:
        """Drop registrations without an entry whose revision is lower; return how many."""
        ...

    async def add_calls(self, calls: Sequence[CallRecord]) -> None:
        """Add call records; one whose id is kept already is passed over."""
        ...

    async def calls(
        self, limit: int, wanted: CallFilter = EVERY_CALL, after: Position | None = None
    ) -> list[CallRecord]:
        """Return at most `limit` of the wanted records, newest first, from behind a position."""
        ...

    async def sum_calls(self, by: By, wanted: CallFilter) -> list[CallSum]:
        """Add up the wanted calls by group, outcome and class of duration."""
        ...

    async def repeats(self, by: By, wanted: CallFilter) -> list[Repeats]:
        """Count, by group, the wanted calls of Sessions, and how many of them were different."""
        ...

    async def sweep_calls(self, older_than: float) -> int:
        """Drop the records of calls that started before a time; return how many."""
        ...

    async def save_launched(self, node: LaunchedNode) -> None:
        """Keep what is needed to find a launched node again, in place of what was kept before."""
        ...

    async def launched(self) -> list[LaunchedNode]:
        """Return the launched nodes by id."""
        ...

    async def forget_launched(self, node_id: str) -> None:
        """Drop a launched node; nothing happens if it is not kept."""
        ...
