"""Chooses the kind of Unit that an entry asks for: the only code that knows them all."""

from __future__ import annotations

from collections.abc import Callable

from nodes.entries import Entry
from nodes.pool import Pool
from nodes.sessions import Sessions
from nodes.supervisor import Supervisor
from nodes.surroundings import Surroundings
from nodes.unit import Unit
from wire.models import Scope


def unit_of(entry: Entry, surroundings: Surroundings, on_change: Callable[[], None]) -> Unit:
    """Return a unit for the entry that has not started."""
    if entry.scope is Scope.SESSION:
        return Sessions(entry, surroundings, on_change)
    if entry.processes > 1:
        return Pool(entry, surroundings, on_change)
    return Supervisor(entry, surroundings, on_change)
