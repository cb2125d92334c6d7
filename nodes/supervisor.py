"""Keeps one tool server process alive: starts, watches, restarts, drains and ends it.

The only code of a node that ends processes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodes import cures
from nodes.channel import LAST_WORDS_S, Channel, Command, Reply
from nodes.entries import Entry
from nodes.environment import find_command
from nodes.guardian import INSTANCE, sweep
from nodes.handshake import HandshakeFailed, list_tools, shake_hands
from nodes.restarts import GiveUp, RestartPolicy, Run, decide
from nodes.server_log import ServerLog
from wire.errors import CallTimedOut, PlatformError, ServerUnavailable
from wire.models import ServerReport, ServerState, ToolInfo

log = logging.getLogger(__name__)

RELIST_PAUSE_S = 0.1
"""Changes of the tools that follow each other this closely are read at once."""

REAP_S = 2.0
RUNS_KEPT = 50


class StartFailed(Exception):
    """The tool server could not be started; the text says what would cure it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all tool servers of a node share.

    Args:
        node_id: Names their log files.
        run: Token of this run of the node, by which their processes are known.
        logs: Folder of their log files.
        base_env: What each finds in its environment beside what its entry names.
        policy: When to restart and when to give up.
        start_timeout_s: Seconds from the start of the process until its tools are known.
        stop_grace_s: Seconds between each step of ending a process and the next.
    """

    node_id: str
    run: str
    logs: Path
    base_env: Mapping[str, str] = field(repr=False)
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    start_timeout_s: float = 30.0
    stop_grace_s: float = 3.0


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
        self._marker = f"{surroundings.run}.{secrets.token_hex(8)}"
        self._log = ServerLog(surroundings.logs / f"{surroundings.node_id}-{entry.name}.log")
        self._next_try = 0.0
        self._channel: Channel | None = None
        self._life: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._listing: asyncio.Task[None] | None = None
        self._stale = False
        self._draining = False
        self._takes_calls = False

    @property
    def in_flight(self) -> int:
        """How many calls the process works on; what it is asked before it is ready is no call."""
        return 0 if self._channel is None or not self._takes_calls else self._channel.in_flight

    @property
    def pid(self) -> int | None:
        """The process's id while one runs."""
        return None if self._channel is None else self._channel.pid

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
        )

    @property
    def offers_tools(self) -> bool:
        """Whether its tools are listed: they are while a restart is likely to bring them back."""
        return self.state not in (ServerState.FAILED, ServerState.STOPPED)

    async def request(self, params: bytes, timeout_s: float) -> Reply:
        """Send `tools/call`; see `Channel.request`.

        Raises:
            ServerUnavailable: it is not ready; nothing was sent.
        """
        channel = self._channel
        if channel is None or self.state is not ServerState.READY:
            raise self._unavailable()
        return await channel.request(b"tools/call", params, timeout_s)

    def start(self) -> None:
        """Begin to keep it alive. `settled` is set when it is ready, or given up."""
        self._life = asyncio.create_task(self._live(), name=f"supervise {self.entry.name}")

    def refuse_calls(self) -> None:
        """Take no new calls from now on, and do not start the process again."""
        self._draining = True
        self._become(ServerState.DRAINING)

    async def drain(self, timeout_s: float) -> None:
        """Refuse calls, and wait at most `timeout_s` seconds for the running ones."""
        self.refuse_calls()
        if self._channel is not None and self._takes_calls:
            await self._channel.idle(timeout_s)

    async def stop(self) -> None:
        """End the process and everything it started. Ends it also if the caller is cancelled.

        Safe to call twice, and at any time.
        """
        if self._life is not None and not self._life.done():
            self._life.cancel()
            await asyncio.wait([self._life])
        if self._ending is not None:
            await asyncio.wait([self._ending])
        self._log.close()
        self._become(ServerState.STOPPED)
        self.settled.set()

    async def _live(self) -> None:
        try:
            await self._live_on()
        except Exception:
            log.exception("tool server %s: its supervision broke off", self.entry.name)
            self.error = "The node met an unexpected fault while it supervised it; see its log."
            self._become(ServerState.FAILED)
            self.settled.set()

    async def _live_on(self) -> None:
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
        self._become(ServerState.FAILED)
        self.settled.set()

    async def _run_once(self) -> Run:
        """Live one life of the process; `error` says afterwards why it ended."""
        started = time.monotonic()
        ready = None
        self._log.open()
        channel = Channel(self.entry.name, self._log.write, self._note_tools_changed)
        failure: Exception | None = None
        try:
            await self._begin(channel)
            ready = time.monotonic()
            self._become_ready(channel)
            await channel.ended.wait()
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
            self._ending = asyncio.create_task(self._end(channel))
            await asyncio.shield(self._ending)
        self.error = self._explain(channel, failure)
        return Run(started, ready, time.monotonic())

    async def _begin(self, channel: Channel) -> None:
        """Start the process and learn its tools.

        Raises:
            StartFailed, HandshakeFailed, PlatformError, TimeoutError: it cannot be used.
        """
        limit = self._around.start_timeout_s
        async with asyncio.timeout(limit):
            try:
                await channel.open(self._command())
            except (OSError, ValueError) as error:
                command = self.entry.shown_argv[0]
                raise StartFailed(f"The command {command!r} cannot run: {error}.") from None
            self._channel = channel
            await shake_hands(channel, limit)
            self._set_tools(await list_tools(channel, limit))

    def _command(self) -> Command:
        """Return what to start.

        Raises:
            StartFailed: the command or the folder does not exist.
        """
        entry = self.entry
        env = {**self._around.base_env, **entry.env, INSTANCE: self._marker}
        path = find_command(entry.command, env)
        if path is None:
            raise StartFailed(cures.command_not_found(entry.shown_argv[0]))
        if not entry.cwd.is_dir():
            raise StartFailed(f"The folder {entry.cwd} does not exist: correct `cwd`.")
        return Command((path, *entry.args), str(entry.cwd), env)

    def _explain(self, channel: Channel, failure: Exception | None) -> str:
        """Say why the process ended; its stderr is complete by now."""
        return self.entry.censor(self._reason(channel, failure))

    def _reason(self, channel: Channel, failure: Exception | None) -> str:
        stderr, argv = self._log.last_lines(), self.entry.shown_argv
        if isinstance(failure, StartFailed):
            return str(failure)
        if isinstance(failure, HandshakeFailed):
            return f"The server cannot be used: {failure}."
        if isinstance(failure, TimeoutError | CallTimedOut):
            return cures.silent_at_start(self._around.start_timeout_s, stderr, channel.rubbish)
        reason = channel.reason or "ended"
        if failure is not None:
            return cures.ended_at_start(reason, argv, stderr, channel.rubbish)
        return f"The server {reason}. {cures.last_words(stderr)}".strip()

    def _become_ready(self, channel: Channel) -> None:
        self.error = None
        self._takes_calls = True
        self._become(ServerState.READY)
        log.info(
            "tool server %s is ready: %d tools, pid %d",
            self.entry.name,
            len(self.tools),
            channel.pid,
        )
        self.settled.set()
        if self._stale:
            self._note_tools_changed()

    def _become(self, state: ServerState) -> None:
        if self._draining and state is not ServerState.STOPPED:
            state = ServerState.DRAINING
        self.state = state
        self._on_change()

    def _note_tools_changed(self) -> None:
        self._stale = True
        if self.state is ServerState.READY and self._listing is None and self._channel is not None:
            self._listing = asyncio.create_task(self._list_again(self._channel))

    async def _list_again(self, channel: Channel) -> None:
        try:
            while self._stale:
                await asyncio.sleep(RELIST_PAUSE_S)
                self._stale = False
                self._set_tools(await list_tools(channel, self._around.start_timeout_s))
                self._on_change()
        except (PlatformError, HandshakeFailed) as error:
            log.warning("tool server %s: its changed tools are unknown: %s", self.entry.name, error)
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
            )
            for definition in definitions
        ]

    def _retry_after_s(self) -> float | None:
        if self.state is ServerState.BACKING_OFF:
            return max(0.1, self._next_try - time.monotonic())
        return 1.0 if self.state is ServerState.STARTING else None

    def _unavailable(self) -> ServerUnavailable:
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

    async def _end(self, channel: Channel) -> None:
        """End the process in the order that MCP asks for, then what it left; all waits bounded."""
        if self._listing is not None:
            self._listing.cancel()
        session = None
        if channel.is_open:
            session, grace = channel.pid, self._around.stop_grace_s
            channel.close_stdin()
            for step in (signal.SIGTERM, signal.SIGKILL):
                if await _happens(channel.exited, grace):
                    break
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(session, step)
            if not await _happens(channel.exited, REAP_S):
                log.error("tool server %s: process %d cannot be ended", self.entry.name, session)
        await self._sweep(session)
        if channel.is_open:
            await _happens(channel.closed, LAST_WORDS_S)
            channel.close()
        self._channel = None

    async def _sweep(self, session: int | None) -> None:
        try:
            left = await asyncio.to_thread(sweep, self._marker, session)
        except (OSError, RuntimeError):
            # No descriptor or no thread was to be had. The guardian sweeps again at the node's end.
            log.exception("tool server %s: cannot look for what it left", self.entry.name)
        else:
            if left:
                log.warning("tool server %s left %d processes; killed", self.entry.name, left)


def _says_idempotent(definition: dict[str, Any]) -> bool:
    annotations = definition.get("annotations")
    return isinstance(annotations, dict) and (
        annotations.get("readOnlyHint") is True or annotations.get("idempotentHint") is True
    )


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await event.wait()
    return event.is_set()
