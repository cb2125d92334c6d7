"""The stderr of one tool server: a log file of bounded size, and the last lines for errors."""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 5 * 1024 * 1024
LAST_LINES = 20
MAX_LINE_BYTES = 500


class ServerLog:
    """Takes stderr as it comes. A log that cannot be written costs the log, never the server.

    Args:
        path: The file; when it is full it moves to `<path>.1`, whose content is given up.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._size = 0
        self._lines: deque[bytes] = deque(maxlen=LAST_LINES)
        self._partial = b""

    def open(self) -> None:
        """Begin the log of a new process, after what earlier ones left."""
        self._lines.clear()
        self._partial = b""
        if self._file is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
            self._size = self._file.tell()
        except OSError as error:
            log.warning("cannot write %s: %s", self.path, error)

    def write(self, data: bytes) -> None:
        """Take a piece of stderr."""
        if len(data) > LAST_LINES * MAX_LINE_BYTES:
            self._partial = b""
        lines = (self._partial + data[-LAST_LINES * MAX_LINE_BYTES :]).split(b"\n")
        self._partial = lines.pop()[:MAX_LINE_BYTES]
        self._lines.extend(line[:MAX_LINE_BYTES] for line in lines if line.strip())
        if self._file is None:
            return
        try:
            if self._size + len(data) > MAX_FILE_BYTES:
                self._rotate()
            self._file.write(data[:MAX_FILE_BYTES])
            self._size += len(data)
        except OSError as error:
            log.warning("cannot write %s any more: %s", self.path, error)
            self.close()

    def last_lines(self) -> list[str]:
        """Return the last lines that the process wrote, at most 20."""
        lines = [*self._lines, self._partial] if self._partial.strip() else self._lines
        return [line.decode(errors="replace").rstrip() for line in lines]

    def close(self) -> None:
        """Close the file; later pieces only feed the last lines."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rotate(self) -> None:
        assert self._file is not None
        self._file.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("ab", buffering=0)
        self._size = 0
