"""What was registered over the API, as far as this node was told, beside what its profile says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from nodes.entries import Entry, parse_entry
from nodes.profile import Profile
from wire.entry import EntryFault
from wire.models import FROM_API, Registration


class Registrations:
    """The registrations that this node knows; in whatever order they come, the newest count."""

    def __init__(self) -> None:
        self._known: dict[str, Registration] = {}

    def take(self, registrations: Iterable[Registration]) -> bool:
        """Take those that are newer than what is known; return whether there was any."""
        news = [r for r in registrations if self._is_news(r)]
        for registration in news:
            if self._is_news(registration):
                self._known[registration.name] = registration
        return bool(news)

    def live(self) -> Mapping[str, Registration]:
        """Return those that have an entry, by name."""
        return {name: r for name, r in self._known.items() if r.entry is not None}

    def revisions(self) -> dict[str, int]:
        """Return the revision of each live one, by name."""
        return {name: registration.revision for name, registration in self.live().items()}

    def _is_news(self, registration: Registration) -> bool:
        known = self._known.get(registration.name)
        return known is None or known.revision < registration.revision


def merge(
    file: Profile,
    path: str,
    registered: Mapping[str, Registration],
    environ: Mapping[str, str],
    expandable: frozenset[str],
) -> Profile:
    """Return what a file and the API say together. A name that the file has is the file's.

    Args:
        file: What the file says.
        path: Where it is.
        registered: Live registrations by name.
        environ: Where `${VAR}` and `env_pass` look.
        expandable: Names that registered entries may refer to.
    """
    entries: dict[str, Entry] = dict(file.entries)
    faults = dict(file.faults)
    sources = dict.fromkeys((*entries, *faults), path)
    notes = []
    for name, registration in sorted(registered.items()):
        if name in sources:
            notes.append(
                f"{name}: {path} defines it, so what was registered under this name over the API "
                f"is not used. DELETE /v1/servers/{name} takes that back."
            )
            continue
        sources[name] = FROM_API
        try:
            entries[name] = parse_entry(name, registration.entry, environ, expandable)
        except EntryFault as fault:
            faults[name] = str(fault)
    return replace(file, entries=entries, faults=faults, sources=sources, notes=tuple(notes))
