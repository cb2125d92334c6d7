"""A tool server that is a child process: one life of it, from its start to its end."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

from nodes import cures
from nodes.channel import Channel, Command, Reply
from nodes.ending import end_process
from nodes.entries import Entry
from nodes.environment import find_command
from nodes.files_socket import FilesSocket
from nodes.guardian import INSTANCE
from nodes.handshake import HandshakeFailed, list_tools, shake_hands
from nodes.life import StartFailed
from nodes.server_log import ServerLog
from nodes.surroundings import Surroundings
from wire.errors import CallTimedOut


class Child:
    """Keeps the promises of `Life` with a process. A missing program is not cured by waiting.

    Args:
        entry: What to run.
        surroundings: See there.
        on_tools_changed: Called when it says that its tools changed.
    """

    away = False

    def __init__(
        self, entry: Entry, surroundings: Surroundings, on_tools_changed: Callable[[], None]
    ) -> None:
        self._entry = entry
        self._around = surroundings
        self._marker = f"{surroundings.run}.{secrets.token_hex(8)}"
        self._log = ServerLog(surroundings.logs / f"{surroundings.node_id}-{entry.name}.log")
        self._channel = Channel(entry.name, self._log.write, on_tools_changed)
        self.ended: asyncio.Event = self._channel.ended
        self.files: FilesSocket | None = None

    @property
    def pid(self) -> int | None:
        """The process's id once it runs."""
        return self._channel.pid if self._channel.is_open else None

    @property
    def where(self) -> str:
        """The process's id for people."""
        return f"pid {self.pid}"

    @property
    def in_flight(self) -> int:
        """How many requests wait for their response."""
        return self._channel.in_flight

    async def begin(self) -> list[dict[str, Any]]:
        """Start the process and learn its tools; see `Life.begin`."""
        self._log.open()
        try:
            await self._channel.open(self._command())
        except (OSError, ValueError) as error:
            command = self._entry.shown_argv[0]
            raise StartFailed(f"The command {command!r} cannot run: {error}.") from None
        await shake_hands(self._channel, self._around.start_timeout_s)
        return await self.list_tools()

    async def list_tools(self) -> list[dict[str, Any]]:
        """Return the definitions of its tools; see `Life.list_tools`."""
        return await list_tools(self._channel, self._around.start_timeout_s)

    async def request(self, params: bytes, timeout_s: float) -> Reply:
        """Send one `tools/call`; see `Life.request`."""
        return await self._channel.request(b"tools/call", params, timeout_s)

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight; see `Life.idle`."""
        until = time.monotonic() + timeout_s
        if not await self._channel.idle(timeout_s):
            return False
        return self.files is None or await self.files.idle(until - time.monotonic())

    async def end(self) -> None:
        """End the process and everything it started; see `Life.end`."""
        await end_process(self._channel, self._marker, self._around.stop_grace_s)
        if self.files is not None:
            self.files.close()
        self._log.close()

    def explain(self, failure: Exception | None) -> str:
        """Say why the process ended; its stderr is complete by now."""
        stderr, argv = self._log.last_lines(), self._entry.shown_argv
        if isinstance(failure, StartFailed):
            return str(failure)
        if isinstance(failure, HandshakeFailed):
            return f"The server cannot be used: {failure}."
        rubbish = self._channel.rubbish
        if isinstance(failure, TimeoutError | CallTimedOut):
            return cures.silent_at_start(self._around.start_timeout_s, stderr, rubbish)
        reason = self._channel.reason or "ended"
        if failure is not None:
            return cures.ended_at_start(reason, argv, stderr, rubbish)
        return f"The server {reason}. {cures.last_words(stderr)}".strip()

    def _command(self) -> Command:
        """Return what to start.

        Raises:
            StartFailed: the command or the folder does not exist, or none can be made.
        """
        entry = self._entry
        env = {**self._around.base_env, **entry.env, INSTANCE: self._marker}
        if entry.files:
            self.files = self._socket()
            env |= self.files.environ
        path = find_command(entry.command, env)
        if path is None:
            raise StartFailed(cures.command_not_found(entry.shown_argv[0]))
        if not entry.cwd.is_dir():
            raise StartFailed(f"The folder {entry.cwd} does not exist: correct `cwd`.")
        return Command((path, *entry.args), str(entry.cwd), env)

    def _socket(self) -> FilesSocket:
        try:
            return self._around.files.socket(self._entry.name)
        except OSError as error:
            raise StartFailed(
                f"Its folders cannot be made: {error}. Correct AGENTDOCK_DATA_DIR or its owner."
            ) from None
