"""The launcher for nodes that somebody else starts: compose, Kubernetes, a person."""

from __future__ import annotations

from collections.abc import Sequence

from manager.launchers.base import LaunchedNode, LaunchFailed, NodeSpec


class ExternalLauncher:
    """See `Launcher`. It wants no nodes, so it is never asked to start one."""

    def wanted(self) -> Sequence[NodeSpec]:
        """Return nothing: nodes come and go by themselves."""
        return ()

    async def launch(self, spec: NodeSpec) -> LaunchedNode:
        """Refuse.

        Raises:
            LaunchFailed: always.
        """
        raise LaunchFailed(f"node {spec.id}: the launcher is external, start the node yourself")

    async def adopt(self, node: LaunchedNode) -> bool:
        """Return False: no node is this launcher's."""
        return False

    async def ended(self, node: LaunchedNode) -> str | None:
        """Say that the node is not this launcher's."""
        return f"node {node.id} was not started by this manager"

    async def stop(self, node: LaunchedNode) -> None:
        """Do nothing: the node is not this launcher's."""

    async def close(self) -> None:
        """Do nothing: nodes outlive this manager."""
