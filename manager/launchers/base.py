"""The launcher's promises. No behaviour lives here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class LaunchFailed(Exception):
    """The node could not be started; the text says why."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node that should exist. `profile` is a profile's name or file, `port` where it listens."""

    id: str
    profile: str
    port: int


@dataclass(frozen=True, slots=True)
class LaunchedNode:
    """What finds a launched node again: plain values that survive a restart of the manager.

    `reference` is the launcher's own, such as a process id; `log` is where the node writes.
    """

    id: str
    launcher: str
    reference: str
    log: str


class Launcher(Protocol):
    """Starts and stops nodes. Who decides when is the fleet, not the launcher."""

    def wanted(self) -> Sequence[NodeSpec]:
        """Return the nodes that this launcher should keep running; always the same ones."""
        ...

    async def launch(self, spec: NodeSpec) -> LaunchedNode:
        """Start a node and return without waiting until it joins.

        A node of that id that this launcher started and that still runs is returned instead.

        Raises:
            LaunchFailed: nothing was started.
        """
        ...

    async def adopt(self, node: LaunchedNode) -> bool:
        """Take over a node that an earlier manager launched; False if it does not run any more.

        Nodes that end with their manager are never adopted.
        """
        ...

    async def ended(self, node: LaunchedNode) -> str | None:
        """Return how a launched or adopted node ended, with its last words; None while it runs.

        Of a node that this launcher neither launched nor adopted it says so.
        """
        ...

    async def stop(self, node: LaunchedNode) -> None:
        """End a node and wait until it is gone, in bounded time, even if it does not cooperate.

        It gets time to finish its calls first. Safe to call twice, and for a node that ended.
        """
        ...

    async def close(self) -> None:
        """Stop all nodes that must not outlive this manager. Safe to call twice."""
        ...
