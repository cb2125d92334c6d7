"""Keeps one tool server alive: begins a Life, watches it, begins another, drains and ends it.

What a Life is, a process or a connection, is not known here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from nodes.channel import Reply
from nodes.entries import Entry
from nodes.files_socket import FilesSocket
from nodes.handshake import HandshakeFailed
from nodes.life import Life, StartFailed
from nodes.lives import life_of
from nodes.restarts import GiveUp, Run, decide
from nodes.surroundings import Surroundings
from nodes.unit import Unit
from wire.errors import Overloaded, PlatformError, ServerUnavailable
from wire.models import WARNING, ServerReport, ServerState, ToolInfo

log = logging.getLogger(__name__)

RELIST_PAUSE_S = 0.1
"""Changes of the tools that follow each other this closely are read at once."""

RUNS_KEPT = 50


class Supervisor:
    """One tool server of one entry. `start` once, `stop` at the end; the rest it does by itself.

    Args:
        entry: What to run.
        surroundings: See there.
        on_change: Called after each change of state, error or tools.
    """

    def __init__(
        self, entry: Entry, surroundings: Surroundings, on_change: Callable[[], None]
    ) -> None:
        self.entry = entry
        self.state = ServerState.STARTING
        self.error: str | None = None
        self.tools: list[ToolInfo] = []
        self.restarts = 0
        self.settled = asyncio.Event()
        self._around = surroundings
        self._on_change = on_change
        self._next_try = 0.0
        self._life: Life | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._listing: asyncio.Task[None] | None = None
        self._stale = False
        self._draining = False
        self._takes_calls = False

    @property
    def in_flight(self) -> int:
        """How many calls it works on; what it is asked before it is ready is no call."""
        return 0 if self._life is None or not self._takes_calls else self._life.in_flight

    @property
    def files(self) -> FilesSocket | None:
        """Where it serves files; see `Unit.files`."""
        life = self._life
        return life.files if life is not None and self.state is ServerState.READY else None

    @property
    def pid(self) -> int | None:
        """The process's id while one runs; None for a remote service."""
        return None if self._life is None else self._life.pid

    def report(self) -> ServerReport:
        """Return how things stand."""
        return ServerReport(
            name=self.entry.name,
            state=self.state,
            tools=self.tools if self.offers_tools else [],
            error=self.error,
            pid=self.pid,
            restarts=self.restarts,
            in_flight=self.in_flight,
            retry_after_s=None if self.state is ServerState.READY else self._retry_after_s(),
            files=self.entry.files,
        )

    @property
    def offers_tools(self) -> bool:
        """Whether its tools are listed: they are while a restart is likely to bring them back."""
        return self.state not in (ServerState.FAILED, ServerState.STOPPED)

    async def request(self, params: bytes, timeout_s: float, owner: str | None = None) -> Reply:
        """Send `tools/call`; see `Unit.request`.

        Raises:
            ServerUnavailable: it is not ready; nothing was sent.
            Overloaded: it has as many calls in flight as its entry allows; nothing was sent.
        """
        life = self._life
        if life is None or self.state is not ServerState.READY:
            raise self.unavailable()
        limit = self.entry.max_in_flight
        if limit is not None and life.in_flight >= limit:
            raise Overloaded(
                f"Tool server {self.entry.name!r} has {limit} calls in flight in each process, "
                "which is its `max_in_flight`.",
                retry_after_s=1.0,
            )
        return await life.request(params, timeout_s)

    def start(self) -> None:
        """Begin to keep it alive. `settled` is set when it is ready, or given up."""
        self._keeping = asyncio.create_task(self._keep(), name=f"supervise {self.entry.name}")

    async def close_session(self, owner: str) -> int:
        """Do nothing: this process belongs to no owner alone."""
        return 0

    def follow(self, old: Unit) -> bool:
        """Keep nothing of `old`."""
        return False

    def refuse_calls(self) -> None:
        """Take no new calls from now on, and do not start the process again."""
        self._draining = True
        self._become(ServerState.DRAINING)

    async def drain(self, timeout_s: float) -> None:
        """Refuse calls, and wait at most `timeout_s` seconds for the running ones."""
        self.refuse_calls()
        if self._life is not None and self._takes_calls:
            await self._life.idle(timeout_s)

    async def stop(self) -> None:
        """End it and everything it started. Ends it also if the caller is cancelled.

        Safe to call twice, and at any time.
        """
        if self._keeping is not None and not self._keeping.done():
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        if self._ending is not None:
            await asyncio.wait([self._ending])
        self._become(ServerState.STOPPED)
        self.settled.set()

    async def _keep(self) -> None:
        try:
            await self._keep_on()
        except Exception:
            log.exception("tool server %s: its supervision broke off", self.entry.name)
            self.error = "The node met an unexpected fault while it supervised it; see its log."
            self.settled.set()
            self._become(ServerState.FAILED)

    async def _keep_on(self) -> None:
        history: list[Run] = []
        while True:
            history = [*history[-RUNS_KEPT:], await self._run_once()]
            if self._draining:
                return
            decision = decide(history, time.monotonic(), self._around.policy)
            if isinstance(decision, GiveUp):
                break
            self._next_try = time.monotonic() + decision.after_s
            self._become(ServerState.BACKING_OFF)
            log.warning(
                "tool server %s: %s Next start in %.1f s (%s).",
                self.entry.name,
                self.error,
                decision.after_s,
                decision.reason,
            )
            await asyncio.sleep(decision.after_s)
            if self._draining:
                return
            self.restarts += 1
            self._become(ServerState.STARTING)
        log.error("tool server %s failed: %s (%s)", self.entry.name, self.error, decision.reason)
        self.settled.set()
        self._become(ServerState.FAILED)

    async def _run_once(self) -> Run:
        """See one Life to its end; `error` says afterwards why it ended."""
        started = time.monotonic()
        ready = None
        self._life = life = life_of(self.entry, self._around, self._note_tools_changed)
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._around.start_timeout_s):
                self._set_tools(await life.begin())
            ready = time.monotonic()
            self._become_ready(life)
            await life.ended.wait()
        except (StartFailed, HandshakeFailed, PlatformError, TimeoutError) as error:
            failure = error
        except Exception as error:
            log.exception("tool server %s: unexpected fault", self.entry.name)
            failure = error
        finally:
            self._takes_calls = False
            if ready is not None and self.state is ServerState.READY:
                self._next_try = time.monotonic() + self._around.policy.base_s
                self._become(ServerState.BACKING_OFF)
            self._ending = asyncio.create_task(self._end(life))
            await asyncio.shield(self._ending)
        self.error = self.entry.censor(life.explain(failure))
        return Run(started, ready, time.monotonic(), away=life.away)

    async def _end(self, life: Life) -> None:
        if self._listing is not None:
            self._listing.cancel()
        await life.end()
        self._life = None

    def _become_ready(self, life: Life) -> None:
        self.error = None
        self._takes_calls = True
        self.settled.set()
        self._become(ServerState.READY)
        log.info(
            "tool server %s is ready: %d tools, %s", self.entry.name, len(self.tools), life.where
        )
        if warning := self.report().facts.get(WARNING):
            log.warning("tool server %s: %s", self.entry.name, self.entry.censor(warning))
        if self._stale:
            self._note_tools_changed()

    def _become(self, state: ServerState) -> None:
        if self._draining and state is not ServerState.STOPPED:
            state = ServerState.DRAINING
        self.state = state
        self._on_change()

    def _note_tools_changed(self) -> None:
        self._stale = True
        if self.state is ServerState.READY and self._listing is None and self._life is not None:
            self._listing = asyncio.create_task(self._list_again(self._life))

    async def _list_again(self, life: Life) -> None:
        try:
            while self._stale:
                await asyncio.sleep(RELIST_PAUSE_S)
                self._stale = False
                self._set_tools(await life.list_tools())
                self._on_change()
        except (PlatformError, HandshakeFailed) as error:
            why = self.entry.censor(str(error))
            log.warning("tool server %s: its changed tools are unknown: %s", self.entry.name, why)
        finally:
            self._listing = None

    def _set_tools(self, definitions: list[dict[str, Any]]) -> None:
        entry = self.entry
        self.tools = [
            ToolInfo(
                server=entry.name,
                name=definition["name"],
                definition=definition,
                idempotent=definition["name"] in entry.idempotent or _says_idempotent(definition),
                timeout_s=entry.timeout_s,
                affinity=entry.affinity,
                prefers=entry.prefers,
                scope=entry.scope,
            )
            for definition in definitions
        ]

    def _retry_after_s(self) -> float | None:
        if self.state is ServerState.BACKING_OFF:
            return max(0.1, self._next_try - time.monotonic())
        return 1.0 if self.state is ServerState.STARTING else None

    def unavailable(self) -> ServerUnavailable:
        """Return why it takes no call now."""
        name = self.entry.name
        if self.state is ServerState.FAILED:
            return ServerUnavailable(
                f"Tool server {name!r} failed; GET /v1/servers tells why. It is tried again when "
                f"its entry in the profile changes, or on POST /v1/servers/{name}/restart."
            )
        state = self.state.replace("_", " ")
        return ServerUnavailable(
            f"Tool server {name!r} is {state}; GET /v1/servers tells why.",
            retry_after_s=self._retry_after_s() or 1.0,
        )


def _says_idempotent(definition: dict[str, Any]) -> bool:
    annotations = definition.get("annotations")
    return isinstance(annotations, dict) and (
        annotations.get("readOnlyHint") is True or annotations.get("idempotentHint") is True
    )
