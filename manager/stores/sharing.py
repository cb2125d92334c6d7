"""What a store promises besides when several managers may use it at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from manager.stores.base import Store, StoredNode
from wire.models import NodeReport


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The sign of life of a kept node, small enough to be read all the time.

    `stamp` is that of the kept report. `beat` changes with each sign of life: whoever sees it
    change knows that the node lives, by its own clock and without trusting anybody else's. `mine`
    says that it was written through this very store object.
    """

    id: str
    stamp: tuple[str, ...]
    beat: int
    in_flight: int
    mine: bool


@runtime_checkable
class SharedStore(Store, Protocol):
    """A store outside of the manager, which other managers use as well.

    It may be away when a manager starts: once `open` was called, each method connects and brings
    the schema up to date by itself, as soon as that is possible. Every method returns or raises
    within seconds; what searches call records may take half a minute. It drops old call records by
    itself, so nobody needs to sweep.
    """

    async def beat_node(self, report: NodeReport, seen_at: float) -> bool:
        """Keep that a node lives, and its load; False if the kept report has another stamp.

        Cheap, and need not outlive a crash of the store.
        """
        ...

    async def heartbeats(self) -> list[Heartbeat]:
        """Return the heartbeats of all kept nodes, by id. Cheap."""
        ...

    async def nodes_named(self, node_ids: Sequence[str]) -> list[StoredNode]:
        """Return those of the nodes that are kept, by id."""
        ...
