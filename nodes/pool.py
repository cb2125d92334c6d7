"""A pool: identical processes of one entry, each kept alive by itself, which share the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nodes.channel import Reply
from nodes.entries import Entry
from nodes.supervisor import Supervisor
from nodes.surroundings import Surroundings
from nodes.unit import Unit
from wire.errors import Overloaded, ServerUnavailable
from wire.models import ServerReport, ServerState, ToolInfo

_BEST_FIRST = (
    ServerState.READY,
    ServerState.DRAINING,
    ServerState.STARTING,
    ServerState.BACKING_OFF,
    ServerState.FAILED,
    ServerState.STOPPED,
)


class Pool:
    """Keeps the promises of `Unit` with `entry.processes` processes.

    It stands as well as the best of them: it serves while one of them does.

    Args:
        entry: What to run.
        surroundings: See there.
        on_change: Called after each change of state, error or tools.
    """

    files = None

    def __init__(
        self, entry: Entry, surroundings: Surroundings, on_change: Callable[[], None]
    ) -> None:
        self.entry = entry
        self.settled = asyncio.Event()
        self._on_change = on_change
        self._members = [
            Supervisor(entry, surroundings, self._changed) for _ in range(entry.processes)
        ]

    @property
    def state(self) -> ServerState:
        """The state of the member that stands best."""
        return min((member.state for member in self._members), key=_BEST_FIRST.index)

    @property
    def error(self) -> str | None:
        """What is wrong with members, each different text once."""
        errors = dict.fromkeys(member.error for member in self._members if member.error)
        return " ".join(errors) or None

    @property
    def tools(self) -> Sequence[ToolInfo]:
        """The tools of the first member that is ready, else of the first that ever was."""
        listed = [member for member in self._members if member.tools]
        ready = [member for member in listed if member.state is ServerState.READY]
        return next((member.tools for member in ready + listed), [])

    @property
    def offers_tools(self) -> bool:
        """Whether its tools are listed."""
        return any(member.offers_tools for member in self._members)

    @property
    def in_flight(self) -> int:
        """How many calls all members work on."""
        return sum(member.in_flight for member in self._members)

    def report(self) -> ServerReport:
        """Return how things stand, with a line for each process."""
        reports = [member.report() for member in self._members]
        waits = [report.retry_after_s for report in reports if report.retry_after_s is not None]
        state = self.state
        return ServerReport(
            name=self.entry.name,
            state=state,
            tools=list(self.tools) if self.offers_tools else [],
            error=self.error,
            restarts=sum(report.restarts for report in reports),
            in_flight=self.in_flight,
            retry_after_s=None if state is ServerState.READY else min(waits, default=None),
            processes=[report.process() for report in reports],
        )

    def start(self) -> None:
        """Start all members at once. `settled` is set when each of them has settled."""
        for member in self._members:
            member.start()

    async def request(self, params: bytes, timeout_s: float, owner: str | None = None) -> Reply:
        """Hand the call to the least busy process that takes it; see `Unit.request`."""
        ready = [member for member in self._members if member.state is ServerState.READY]
        failure: ServerUnavailable | Overloaded | None = None
        for member in sorted(ready or self._members, key=lambda member: member.in_flight):
            try:
                return await member.request(params, timeout_s, owner)
            except (ServerUnavailable, Overloaded) as error:
                failure = error
        assert failure is not None
        raise failure

    async def close_session(self, owner: str) -> int:
        """Do nothing: no process here belongs to an owner."""
        return 0

    def follow(self, old: Unit) -> bool:
        """Keep nothing of `old`."""
        return False

    def refuse_calls(self) -> None:
        """Take no new calls from now on."""
        for member in self._members:
            member.refuse_calls()

    async def drain(self, timeout_s: float) -> None:
        """Refuse calls, and wait at most `timeout_s` seconds for the running ones."""
        await asyncio.gather(*(member.drain(timeout_s) for member in self._members))

    async def stop(self) -> None:
        """End every process, all at once."""
        await asyncio.gather(*(member.stop() for member in self._members))
        self.settled.set()

    def _changed(self) -> None:
        if all(member.settled.is_set() for member in self._members):
            self.settled.set()
        self._on_change()
