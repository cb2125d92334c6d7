"""Where what an Owner has lives: a node for its Sessions, a file area for its files."""

from __future__ import annotations

from collections import OrderedDict

MOST = 200_000
"""Homes that are remembered; the one that was asked for longest ago is forgotten first."""


class Homes:
    """Remembers where an Owner was sent, so that a node or a machine that joins moves nobody.

    Args:
        most: Homes to remember.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._homes: OrderedDict[tuple[str, str], str] = OrderedDict()

    def of(self, owner: str, what: str) -> str | None:
        """Return where an Owner has something; None if nobody remembers.

        Args:
            owner: The Owner.
            what: A session-scoped tool server, or the path under which files are served.
        """
        home = self._homes.get((owner, what))
        if home is not None:
            self._homes.move_to_end((owner, what))
        return home

    def note(self, owner: str, what: str, home: str) -> None:
        """Note where an Owner has something from now on."""
        self._homes[owner, what] = home
        self._homes.move_to_end((owner, what))
        if len(self._homes) > self._most:
            self._homes.popitem(last=False)
