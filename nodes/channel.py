"""The MCP conversation with one tool server process: many requests at once over its pipes.

Starts the process and notices its death, but never ends one: that is the supervisor's.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import orjson

from nodes.guardian import INSTANCE, brand
from nodes.lines import NotJson, answer_to, guess_id, own_id, parse_line, with_meta
from nodes.throttle import Throttle
from wire.children import keep_standard_streams
from wire.errors import (
    CallTimedOut,
    Overloaded,
    ServerCrashed,
    ServerError,
    ServerUnavailable,
)

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_UNREAD_BYTES = 16 * 1024 * 1024
"""Most bytes that wait for a server to read them; beyond it new requests are refused."""

NOISE_PER_S = 5_000
"""Lines in a second that answer nothing, after which stdout rests until the second is over."""

STDERR_PER_S = 8 * 1024 * 1024
NOISE_LOGGED = 3
LAST_WORDS_S = 0.1
"""How long a dead process's pipes may still bring replies; a grandchild can hold them open."""


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start: absolute or found on the PATH of `env`, which is all it gets."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = field(repr=False)

    def prepare(self) -> None:
        """Run in the child, between fork and exec: what it inherits, and how it is known."""
        keep_standard_streams()
        if INSTANCE in self.env:
            brand(self.env[INSTANCE])


class Reply(NamedTuple):
    """A JSON-RPC response: parsed, and the line as it came."""

    message: dict[str, Any]
    raw: bytes


class Channel(asyncio.SubprocessProtocol):
    """Speaks JSON-RPC lines with one process. Usable once `open` returned, until `ended` is set.

    Args:
        name: The tool server's name, for errors and the log.
        on_stderr: Called with each piece of its stderr.
        on_tools_changed: Called when it says that its tools changed.
    """

    def __init__(
        self,
        name: str,
        on_stderr: Callable[[bytes], None],
        on_tools_changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.is_open = False
        self.ended = asyncio.Event()
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self.reason: str | None = None
        self.rubbish: list[bytes] = []
        self.request_meta: dict[str, Any] | None = None
        self._on_stderr = on_stderr
        self._on_tools_changed = on_tools_changed
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._idle_waiters: set[asyncio.Event] = set()
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._stdout_open = True
        self._stdin_open = True
        self._stopped = False
        self._noise = Throttle(NOISE_PER_S)
        self._stderr = Throttle(STDERR_PER_S)

    async def open(self, command: Command) -> None:
        """Start the process, in a session of its own.

        Raises:
            OSError: it cannot be started.
        """
        await self._loop.subprocess_exec(
            lambda: self,
            *command.argv,
            cwd=command.cwd,
            env=dict(command.env),
            start_new_session=True,
            preexec_fn=command.prepare,
        )

    @property
    def pid(self) -> int:
        """The process's id, which is also its group's and its session's."""
        return self._transport.get_pid()

    @property
    def in_flight(self) -> int:
        """How many requests wait for their response."""
        return len(self._pending)

    async def request(self, method: bytes, params: bytes, timeout_s: float) -> Reply:
        """Send one request and return its response, be it a result or a JSON-RPC error.

        Cancelling tells the server to stop working on it.

        Args:
            method: Such as `b"tools/call"`.
            params: A JSON object in one line; it is not looked at.
            timeout_s: Seconds until the server is told to stop and the call fails.

        Raises:
            CallTimedOut: no response in time.
            Overloaded: the server does not read; nothing was sent.
            ServerCrashed: it died or closed its pipes after the request was sent.
            ServerUnavailable: it was gone before; nothing was sent.
        """
        if self.reason is not None or not self._stdin_open:
            raise self._gone()
        if self._stdin.get_write_buffer_size() > MAX_UNREAD_BYTES:
            raise Overloaded(
                f"Tool server {self.name!r} is not reading its requests.", retry_after_s=1.0
            )
        if self.request_meta is not None:
            params = with_meta(params, self.request_meta)
        number = next(self._ids)
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._pending[number] = future
        if not self._write(
            b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}\n' % (number, method, params)
        ):
            del self._pending[number]
            raise self._gone()
        timer = self._loop.call_later(timeout_s, self._expire, number, timeout_s)
        try:
            return await future
        except asyncio.CancelledError:
            if self._pending.pop(number, None) is not None:
                self._tell_cancelled(number, "the caller went away")
            raise
        finally:
            timer.cancel()
            if self._idle_waiters and not self._pending:
                self._note_idle()

    def notify(self, method: bytes, params: bytes = b"{}") -> None:
        """Send a notification; it is dropped if the server is gone or does not read."""
        if self._is_reading():
            self._write(b'{"jsonrpc":"2.0","method":"%b","params":%b}\n' % (method, params))

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight, at most `timeout_s` seconds; return whether it is so."""
        waiter = asyncio.Event()
        self._idle_waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                while self._pending:
                    waiter.clear()
                    await waiter.wait()
        except TimeoutError:
            return False
        finally:
            self._idle_waiters.discard(waiter)
        return True

    def _note_idle(self) -> None:
        for waiter in self._idle_waiters:
            waiter.set()

    def _gone(self) -> ServerUnavailable:
        return ServerUnavailable(f"Tool server {self.name!r} is gone.", retry_after_s=1.0)

    def close_stdin(self) -> None:
        """Let the server read to the end of its stdin, by which a well-behaved one exits."""
        self._stopped = True
        self._stdin_open = False
        self._stdin.close()

    def close(self) -> None:
        """Let go of the pipes; what is in flight fails. Safe to call twice."""
        self._noise.release()
        self._stderr.release()
        self._transport.close()
        self._end("was stopped")

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport of a process that has just started."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.is_open = True
        self._stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what the process wrote; a piece may hold many lines or part of one."""
        if fd != 1:
            self._stderr.spend(len(data), self._pipe(2))
            self._on_stderr(data)
            return
        end = data.rfind(b"\n")
        if end < 0:
            self._keep_tail(data)
            return
        if self._tail:
            data = b"".join([*self._tail, data])
            self._tail.clear()
            self._tail_size = 0
        *lines, rest = data.split(b"\n")
        if rest:
            self._keep_tail(rest)
        for line in lines:
            self._take(line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Notice that a pipe closed; without stdin and stdout there is no conversation."""
        if fd == 0:
            self._stdin_open = False
        elif fd == 1:
            self._stdout_open = False
        else:
            return
        self._end_soon()

    def process_exited(self) -> None:
        """Notice the process's death."""
        self.exited.set()
        self._noise.release()
        self._stderr.release()
        self._end_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notice that the process is dead and everything it wrote was read."""
        self.closed.set()

    def _end_soon(self) -> None:
        """End at once if nothing can come any more, else leave the last words time to arrive."""
        if self.exited.is_set() and not self._stdout_open:
            self._end(self._death())
        elif self.reason is None:
            self._loop.call_later(LAST_WORDS_S, lambda: self._end(self._death()))

    def _death(self) -> str:
        code = self._transport.get_returncode()
        if self._stopped:
            return "was stopped"
        if code is None:
            return f"closed its {'stdin' if self._stdout_open else 'stdout'}"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with code {code}"

    def _end(self, reason: str) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        self.ended.set()
        pending, self._pending = self._pending, {}
        self._note_idle()
        for future in pending.values():
            if not future.done():
                future.set_exception(
                    ServerCrashed(
                        f"Tool server {self.name!r} {reason} while it worked on the call."
                    )
                )

    def _take(self, line: bytes) -> None:
        try:
            parsed = parse_line(line)
        except NotJson:
            self._give_up(line)
            return
        if parsed is None:
            return
        message, line = parsed
        number = message.get("id")
        if "method" in message:
            self._noise.spend(1, self._pipe(1))
            self._answer(message["method"], number)
            return
        future = self._pending.pop(own_id(number), None)
        if future is None:
            self._noise.spend(1, self._pipe(1))
        elif not future.done():
            future.set_result(Reply(message, line))

    def _answer(self, method: object, number: object) -> None:
        """Take a message that the server began: it may ping, and say that its tools changed."""
        if number is None:
            if method == "notifications/tools/list_changed":
                self._on_tools_changed()
            return
        if self._is_reading():
            self._write(orjson.dumps(answer_to(method, number)) + b"\n")

    def _give_up(self, line: bytes) -> None:
        """Fail the call that an unreadable answer belongs to; else it would wait out its time."""
        future = self._pending.pop(guess_id(line), None)
        if future is None:
            self._note_rubbish(line)
        elif not future.done():
            future.set_exception(
                ServerError(
                    f"Tool server {self.name!r} answered with something that is not JSON, or is "
                    "nested too deeply. The call may have had its effect."
                )
            )

    def _note_rubbish(self, line: bytes) -> None:
        self._noise.spend(1, self._pipe(1))
        if len(self.rubbish) < NOISE_LOGGED:
            # A broken answer may hold anything that a tool said: that is not for the log.
            shown = line.partition(b'{"jsonrpc"')[0][:200]
            self.rubbish.append(shown)
            log.warning(
                "tool server %s printed to stdout, which belongs to MCP (print to stderr): %r",
                self.name,
                shown,
            )

    def _keep_tail(self, data: bytes) -> None:
        self._tail_size += len(data)
        if self._tail_size > MAX_LINE_BYTES:
            self._tail = []
            self._tail_size = 0
            self._end(f"wrote a line of over {MAX_LINE_BYTES} bytes to stdout")
        elif self.reason is None:
            self._tail.append(data)

    def _expire(self, number: int, timeout_s: float) -> None:
        future = self._pending.pop(number, None)
        if future is None or future.done():
            return
        future.set_exception(
            CallTimedOut(
                f"Tool server {self.name!r} did not answer within {timeout_s:g} s and was told to "
                "stop. Ask for less, or allow more time."
            )
        )
        self._tell_cancelled(number, "the time for it is over")

    def _tell_cancelled(self, number: int, why: str) -> None:
        params = orjson.dumps({"requestId": number, "reason": why})
        self.notify(b"notifications/cancelled", params)

    def _is_reading(self) -> bool:
        return self._stdin_open and self._stdin.get_write_buffer_size() <= MAX_UNREAD_BYTES

    def _write(self, line: bytes) -> bool:
        """Write a line; False if the pipe is closed, which uvloop may say here first.

        What is written to a closing pipe is dropped without a word: the call would be told that the
        server died of it, though it never got it.
        """
        if self._stdin.is_closing():
            self._stdin_open = False
            return False
        try:
            self._stdin.write(line)
        except (RuntimeError, OSError):
            self._stdin_open = False
            return False
        return True

    def _pipe(self, fd: int) -> asyncio.ReadTransport | None:
        return cast("asyncio.ReadTransport | None", self._transport.get_pipe_transport(fd))
