"""What a job prints: read as it comes, kept to a limit; the rest is dropped: no writer waits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

PIECE = 1 << 16
MAX_STREAM = 1 << 20


class Room:
    """Bytes that several outputs may keep together.

    Args:
        left: How many.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, wanted: int) -> int:
        """Return how many of the wanted bytes there is room for; they are taken now."""
        given = min(wanted, self.left)
        self.left -= given
        return given


class Output:
    """The reading end of a pipe. Bytes that are not UTF-8 become U+FFFD.

    Args:
        room: What it keeps is taken from here; else it may keep as much as a stream may.
    """

    def __init__(self, room: Room | None = None) -> None:
        self._pipe, self.writer = os.pipe()
        os.set_blocking(self._pipe, False)
        self.cut = False
        self._room = room or Room(MAX_STREAM)
        self._kept = bytearray()
        self._keeps = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pipe, self._read)
        self._on_end: Callable[[], None] | None = None

    def hand_over(self) -> None:
        """Close our copy of the writing end: whoever was given one is now the only writer."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def text(self) -> str:
        """Return what has come until now."""
        self._read_all()
        return self._kept.decode(errors="replace")

    def let_go(self, then: Callable[[], None]) -> None:
        """Keep nothing more, but read on until the last writer is gone; then call `then`.

        What a job leaves running may still print, and must not be ended, or held up, by that.
        """
        self.hand_over()
        self.forget()
        if self._pipe < 0:
            then()
        else:
            self._on_end = then

    def forget(self) -> None:
        """Keep nothing, now or later. Safe to call twice."""
        self._keeps = False
        self._room.left += len(self._kept)
        self._kept = bytearray()

    def close(self) -> None:
        """Read no more. Safe to call twice."""
        self.hand_over()
        if self._pipe >= 0:
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1
            if self._on_end is not None:
                self._on_end()

    def _read_all(self) -> None:
        """Take what is in the pipe now, and no more than a pipe can hold."""
        for _ in range(64):
            if self._pipe < 0 or not self._read():
                return

    def _read(self) -> bool:
        """Take one piece; return whether there may be more."""
        try:
            piece = os.read(self._pipe, PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self.close()
            return False
        if self._keeps:
            room = self._room.take(min(len(piece), MAX_STREAM - len(self._kept)))
            self._kept += piece[:room]
            self.cut = self.cut or len(piece) > room
        return True


class Outputs:
    """Stdout and stderr of one job; see Output."""

    def __init__(self, room: Room | None = None) -> None:
        self.stdout = Output(room)
        try:
            self.stderr = Output(room)
        except OSError:
            self.stdout.close()
            raise

    @property
    def writers(self) -> tuple[int, int]:
        """The descriptors for the job."""
        return self.stdout.writer, self.stderr.writer

    def hand_over(self) -> None:
        """See Output."""
        self.stdout.hand_over()
        self.stderr.hand_over()

    def close(self) -> None:
        """See Output."""
        self.stdout.close()
        self.stderr.close()

    def forget(self) -> None:
        """Close them, and keep nothing."""
        for output in (self.stdout, self.stderr):
            output.close()
            output.forget()


class Lingering:
    """Outputs of jobs that ended, whose pipes something still holds open; a bounded number."""

    def __init__(self, most: int = 32) -> None:
        self._most = most
        self._kept: list[Output] = []

    def take(self, outputs: Outputs) -> None:
        """Read on for as long as somebody writes."""
        for output in (outputs.stdout, outputs.stderr):
            self._kept.append(output)
            output.let_go(lambda output=output: self._drop(output))  # type: ignore[misc]  # bound now
        while len(self._kept) > self._most:
            self._kept[0].close()

    def close(self) -> None:
        """Close all of them."""
        for output in list(self._kept):
            output.close()

    def _drop(self, output: Output) -> None:
        if output in self._kept:
            self._kept.remove(output)
