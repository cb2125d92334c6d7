"""Where Sessions live: the node that holds an Owner's process of a session-scoped tool server."""

from __future__ import annotations

from collections import OrderedDict

MOST = 200_000
"""Homes that are remembered; the one that was asked for longest ago is forgotten first."""


class Homes:
    """Remembers the node that took an Owner's last call, so that one that joins moves nobody.

    Args:
        most: Homes to remember.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._nodes: OrderedDict[tuple[str, str], str] = OrderedDict()

    def of(self, owner: str, server: str) -> str | None:
        """Return the id of the node that holds an Owner's process; None if nobody knows."""
        return self._nodes.get((owner, server))

    def note(self, owner: str, server: str, node_id: str) -> None:
        """Note which node was chosen for a call."""
        self._nodes[owner, server] = node_id
        self._nodes.move_to_end((owner, server))
        if len(self._nodes) > self._most:
            self._nodes.popitem(last=False)
