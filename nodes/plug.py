"""A place where a tool server is plugged: who serves, who is about to, what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nodes.entries import Entry
from nodes.lingering import Lingering
from nodes.unit import Unit
from wire.errors import ServerUnavailable
from wire.models import ServerReport, ServerState, ToolInfo


@dataclass(slots=True, eq=False)
class Plug:
    """What the host knows under one name.

    Args:
        name: The tool server's name.
        entry: The entry that `current` runs, or one that is not enabled.
        current: Takes the calls.
        coming: Starts for a changed entry, to become `current` when it is ready.
        fault: What is wrong with the entry as the profile has it now.
        refused: The changed entry that did not start, so that `current` stayed.
        refusal: Why it did not start.
        source: Where the entry comes from; see `ServerReport`.
        lingering: Who served before and still holds what handles name.
    """

    name: str
    entry: Entry | None = None
    current: Unit | None = None
    coming: Unit | None = None
    fault: str | None = None
    refused: Entry | None = None
    refusal: str | None = None
    source: str = ""
    lingering: Lingering = field(default_factory=Lingering)

    def is_serving(self) -> bool:
        """Whether `current` takes calls."""
        return self.current is not None and self.current.state is ServerState.READY

    def is_settled_with(self, entry: Entry) -> bool:
        """Whether `entry` is what runs, is about to, or has been tried and refused."""
        if self.current is None:
            return False
        if self.coming is not None:
            return self.coming.entry == entry
        return entry == (self.refused or self.entry)

    def newest_entry(self) -> Entry | None:
        """Return the last usable entry that the profile gave."""
        if self.coming is not None:
            return self.coming.entry
        return self.refused or self.entry

    def tools(self) -> Sequence[ToolInfo]:
        """Return the tools that are listed."""
        current = self.current
        return current.tools if current is not None and current.offers_tools else ()

    def report(self) -> ServerReport:
        """Return how things stand, with the most pressing error."""
        if self.current is None:
            state = ServerState.FAILED if self.fault else ServerState.STOPPED
            return ServerReport(name=self.name, state=state, error=self.fault, source=self.source)
        report = self.current.report()
        report.source = self.source
        report.changing = self.coming is not None
        report.error = self._error() or report.error
        return report

    def unavailable(self) -> ServerUnavailable:
        """Return why no process is there to take a call."""
        why = self.fault or "it is not enabled."
        return ServerUnavailable(f"Tool server {self.name!r} does not run: {why}")

    def _error(self) -> str | None:
        if self.fault:
            return f"Its entry is broken, so it runs as before. {self.fault}"
        refusal = self.refusal or (self.coming.error if self.coming is not None else None)
        if refusal:
            return f"Its changed entry does not start, so the old one stays. {refusal}"
        return None
