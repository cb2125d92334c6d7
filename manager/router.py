"""Which node gets a call. Pure: no I/O, no clock, no state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """A node that could take the call."""

    @property
    def id(self) -> str:
        """The node's id."""
        ...


N = TypeVar("N", bound=Candidate)


def choose_node(
    candidates: Sequence[N],
    handle_node: str | None,
    load: Callable[[N], int],
    pick: Callable[[int], int],
    owner: str | None = None,
    preferred: Callable[[N], bool] | None = None,
    home: str | None = None,
) -> N | None:
    """Return the node that should take a call, or None if none can.

    Args:
        candidates: Nodes that are ready and have the tool ready.
        handle_node: Id of the node that a handle in the arguments names; no other will do.
        load: Calls in flight on a node.
        pick: Returns an integer from 0 up to, and without, its argument: a source of chance.
        owner: Whose call it is, if the tool server is session-scoped.
        preferred: Whether a node has what the tool server prefers; the others get a call only if
            none has it.
        home: Id of the node that took the owner's last call.

    An owner's calls all reach one node, which holds its process: its home while that is there; else
    each candidate is weighed with the owner's name (rendezvous hashing), so that every manager
    finds the same one. A node that goes moves only its own owners.

    Two candidates are drawn and the less busy one is taken: nearly as even as comparing all of
    them, without everybody running to the one that looked idle a moment ago.
    """
    if handle_node is not None:
        return next((node for node in candidates if node.id == handle_node), None)
    if owner is not None and home is not None:
        for node in candidates:
            if node.id == home:
                return node
    if preferred is not None:
        candidates = [node for node in candidates if preferred(node)] or candidates
    if owner is not None:
        return max(candidates, key=lambda node: _weight(owner, node.id), default=None)
    count = len(candidates)
    if count < 2:
        return candidates[0] if count else None
    first = pick(count)
    second = pick(count - 1)
    one, other = candidates[first], candidates[second + (second >= first)]
    return other if load(other) < load(one) else one


def choose_area(areas: Collection[str], owner: str) -> str | None:
    """Return the file area that keeps an Owner's files, None if there is none.

    As for a Session's node, every manager finds the same one, and an area that comes or goes moves
    its own share of Owners only.
    """
    return max(areas, key=lambda area: _weight(owner, area), default=None)


def _weight(owner: str, node_id: str) -> bytes:
    return hashlib.blake2b(f"{node_id}\n{owner}".encode(), digest_size=8).digest()
