"""One process for each Owner: opened at first use, closed when asked or when idle for long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nodes.channel import Reply
from nodes.entries import Entry
from nodes.supervisor import Supervisor
from nodes.surroundings import Surroundings
from nodes.unit import Unit
from wire.errors import CallTimedOut, Overloaded, ServerUnavailable
from wire.models import ServerReport, ServerState, ToolInfo

log = logging.getLogger(__name__)

FULL_RETRY_S = 5.0


@dataclass(slots=True, eq=False)
class _Session:
    """An owner's process, the calls that need it, and the clock that runs while there are none."""

    supervisor: Supervisor
    calls: int = 0
    idle: asyncio.TimerHandle | None = None


class Sessions:
    """Keeps the promises of `Unit` with a process for each owner, at most `entry.max_sessions`.

    The first process is started before anybody asks, because it says which tools there are; the
    first owner gets it. Opening and closing is no change of the unit, so nothing is told of it.

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
        self.state = ServerState.STARTING
        self.tools: list[ToolInfo] = []
        self.settled = asyncio.Event()
        self._around = surroundings
        self._on_change = on_change
        self._first = Supervisor(entry, surroundings, self._first_changed)
        self._unused = True
        self._live: dict[str, _Session] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._calm = asyncio.Event()
        self._before: Sessions | None = None
        self._on_empty: Callable[[], None] | None = None

    @property
    def error(self) -> str | None:
        """What is wrong, while no process has ever been ready."""
        return None if self.state is ServerState.READY else self._first.error

    @property
    def offers_tools(self) -> bool:
        """Whether its tools are listed."""
        return self.state not in (ServerState.FAILED, ServerState.STOPPED)

    @property
    def in_flight(self) -> int:
        """How many calls were taken and not answered, those that wait for a process included."""
        before = 0 if self._before is None else self._before.in_flight
        return sum(session.calls for session in self._live.values()) + before

    def report(self) -> ServerReport:
        """Return how things stand, with a line for each process and no word on whose it is."""
        reports = [supervisor.report() for supervisor in self._processes()]
        waits = self._first.report().retry_after_s
        return ServerReport(
            name=self.entry.name,
            state=self.state,
            tools=self.tools if self.offers_tools else [],
            error=self.error,
            restarts=sum(report.restarts for report in reports),
            in_flight=self.in_flight,
            retry_after_s=None if self.state is ServerState.READY else waits,
            processes=[report.process() for report in reports],
        )

    def start(self) -> None:
        """Start the first process, which tells the tools."""
        self._first.start()

    async def request(self, params: bytes, timeout_s: float, owner: str | None = None) -> Reply:
        """Hand the call to its owner's process, which is opened if need be; see `Unit.request`."""
        if owner is None:
            # The manager does not know yet that the entry has become session-scoped.
            raise ServerUnavailable(
                f"Tool server {self.entry.name!r} must be told whose call it is.", retry_after_s=1.0
            )
        if self._before is not None and self._before.has(owner):
            return await self._before.request(params, timeout_s, owner)
        if self.state is not ServerState.READY:
            raise self._unavailable()
        session = self._live.get(owner) or self._open(owner)
        session.calls += 1
        if session.idle is not None:
            session.idle.cancel()
        try:
            left_s = await self._started(session.supervisor, timeout_s)
            return await session.supervisor.request(params, left_s)
        except CallTimedOut:
            # What it still works on nobody waits for, and the next call must not find it busy.
            self._close(owner, session)
            raise
        finally:
            session.calls -= 1
            self._calm.set()
            self._rest(owner, session)

    async def close_session(self, owner: str) -> int:
        """End an owner's process and wait for its end; see `Unit.close_session`."""
        count = 0 if self._before is None else await self._before.close_session(owner)
        session = self._live.get(owner)
        if session is None:
            return count
        await asyncio.wait([self._close(owner, session)])
        return count + 1

    def follow(self, old: Unit) -> bool:
        """Let the Sessions that live in `old` go on there until they are closed."""
        if not isinstance(old, Sessions) or old.entry == self.entry:
            return False
        self._before = old
        old.retire(self._drop_before)
        return True

    def has(self, owner: str) -> bool:
        """Whether an owner has a process here."""
        return owner in self._live or (self._before is not None and self._before.has(owner))

    def retire(self, on_empty: Callable[[], None]) -> None:
        """Open nothing any more, and call `on_empty` when the last Session is closed.

        That is the last one here and in what came before: those live in a chain that ends with us.
        """
        self._on_empty = on_empty
        if self._unused:
            self._unused = False
            self._spawn(self._first.stop())
        self._tell_if_empty()

    def refuse_calls(self) -> None:
        """Take no new calls from now on; those that were taken still get their process."""
        self._become(ServerState.DRAINING)
        if self._before is not None:
            self._before.refuse_calls()

    async def drain(self, timeout_s: float) -> None:
        """Refuse calls, and wait at most `timeout_s` seconds for the running ones."""
        self.refuse_calls()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                if self._before is not None:
                    await self._before.drain(timeout_s)
                while self.in_flight:
                    self._calm.clear()
                    await self._calm.wait()

    async def stop(self) -> None:
        """End every process, all at once."""
        self._on_empty = None
        self._become(ServerState.STOPPED)
        for owner, session in list(self._live.items()):
            self._close(owner, session)
        before, self._before = self._before, None
        stops = [self._first.stop(), *([before.stop()] if before is not None else [])]
        await asyncio.gather(*stops)
        while self._ends:
            await asyncio.wait(self._ends)
        self.settled.set()

    def _processes(self) -> Iterator[Supervisor]:
        if self._unused:
            yield self._first
        for session in self._live.values():
            yield session.supervisor
        if self._before is not None:
            yield from self._before._processes()

    def _open(self, owner: str) -> _Session:
        """Open an owner's Session.

        Raises:
            Overloaded: there are as many processes as there may be; nothing ran.
        """
        limit = self.entry.max_sessions
        if self._count() >= limit:
            raise Overloaded(
                f"Tool server {self.entry.name!r} has {limit} Sessions open here, which is its "
                "`max_sessions`. Close one that is not needed, or try again.",
                retry_after_s=min(FULL_RETRY_S, self.entry.session_idle_s),
            )
        if self._unused and self._first.state is ServerState.READY:
            self._unused = False
            supervisor = self._first
        else:
            supervisor = Supervisor(self.entry, self._around, _nothing)
            supervisor.start()
        session = self._live[owner] = _Session(supervisor)
        return session

    def _unavailable(self) -> ServerUnavailable:
        if self.state in (ServerState.DRAINING, ServerState.STOPPED):
            return ServerUnavailable(
                f"Tool server {self.entry.name!r} is {self.state}.", retry_after_s=1.0
            )
        return self._first.unavailable()

    def _count(self) -> int:
        """Return how many processes belong to owners, those that are ending included."""
        before = 0 if self._before is None else self._before._count()
        return len(self._live) + len(self._ends) + before

    async def _started(self, supervisor: Supervisor, timeout_s: float) -> float:
        """Wait until a process is ready or given up; return the seconds that are left.

        Raises:
            ServerUnavailable: it was not within `timeout_s`; nothing ran.
        """
        if supervisor.settled.is_set():
            return timeout_s
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(timeout_s):
                await supervisor.settled.wait()
        except TimeoutError:
            raise ServerUnavailable(
                f"The process of this Session on tool server {self.entry.name!r} is not ready "
                f"after {timeout_s:g} s. Nothing ran; try again.",
                retry_after_s=1.0,
            ) from None
        return max(0.001, timeout_s - (clock() - began))

    def _rest(self, owner: str, session: _Session) -> None:
        """Start the clock of a Session without calls; forget one whose process was given up."""
        if self._live.get(owner) is not session or session.calls:
            return
        if session.supervisor.state is ServerState.FAILED:
            self._close(owner, session)
            return
        session.idle = asyncio.get_running_loop().call_later(
            self.entry.session_idle_s, self._close, owner, session
        )

    def _close(self, owner: str, session: _Session) -> asyncio.Task[None]:
        """Forget a Session and end its process; a second time it only ends, which is harmless."""
        if session.idle is not None:
            session.idle.cancel()
        if self._live.get(owner) is session:
            del self._live[owner]
            self._tell_if_empty()
        return self._spawn(session.supervisor.stop())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"end a process of {self.entry.name}")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return task

    def _tell_if_empty(self) -> None:
        if not self._live and self._before is None and self._on_empty is not None:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()

    def _drop_before(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            self._spawn(before.stop())
            self._tell_if_empty()

    def _first_changed(self) -> None:
        """Follow the first process until it was ready once; from then on Sessions can be opened."""
        if self.state not in (ServerState.DRAINING, ServerState.STOPPED, ServerState.READY):
            self.tools = self._first.tools
            self._become(self._first.state)
        if self._first.settled.is_set() or self.state is ServerState.READY:
            self.settled.set()

    def _become(self, state: ServerState) -> None:
        self.state = state
        self._on_change()


def _nothing() -> None:
    return
