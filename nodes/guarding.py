"""Keeps a guardian beside the node for as long as the node runs."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from nodes import guardian

log = logging.getLogger(__name__)


class Guarding:
    """While the context is open a guardian waits to end what carries `marker`.

    A guardian that dies is replaced. When the context closes, or this process ends in any other
    way, it sweeps and ends itself.
    """

    def __init__(self, marker: str) -> None:
        self._marker = marker
        self._closing = False
        self._lock = threading.Lock()
        self._process = self._start()
        self._watch = threading.Thread(target=self._replace, name="guardian", daemon=True)

    @property
    def pid(self) -> int:
        """The guardian's process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closing = True
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._watch.join(guardian.LIMIT_S)
        if self._watch.is_alive():
            log.error("the guardian (pid %d) is still ending what this node left", self.pid)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(guardian.__file__).resolve()), self._marker],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )

    def _replace(self) -> None:
        while True:
            code = self._process.wait()
            with self._lock:
                if self._closing:
                    return
                log.error("the guardian ended (%d) before the node did; another is started", code)
                assert self._process.stdin is not None
                self._process.stdin.close()
                self._process = self._start()
