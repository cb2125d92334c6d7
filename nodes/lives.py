"""Chooses the kind of Life that an entry asks for: the only code that knows them all."""

from __future__ import annotations

from collections.abc import Callable

from nodes.child import Child
from nodes.entries import Entry
from nodes.life import Life
from nodes.remote import Remote
from nodes.surroundings import Surroundings


def life_of(entry: Entry, surroundings: Surroundings, on_tools_changed: Callable[[], None]) -> Life:
    """Return a Life of the entry's tool server that has not begun."""
    if entry.place is not None:
        return Remote(entry.name, entry.place, surroundings.start_timeout_s, on_tools_changed)
    return Child(entry, surroundings, on_tools_changed)
