"""A database server that speaks MongoDB's wire protocol, as a process of its own.

It is SecantusDB, or with AGENTDOCK_TEST_MONGODB_URL a real MongoDB that somebody else started: the
tests that start, kill and stop the server itself run on SecantusDB all the same.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from manager.stores.address import MongoAddress, parse
from tests.parts import lack

ELSEWHERE = "AGENTDOCK_TEST_MONGODB_URL"
START_S = 20


class MongoServer:
    """A SecantusDB daemon on a port of its own; it keeps port and data when it starts again.

    Args:
        folder: Where it keeps data and log.
        options: Further options of the daemon.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        if importlib.util.find_spec("secantus") is None:
            lack("secantusdb is missing: install what requirements-dev.lock names")
        self._folder = folder
        self._options = options
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            self.port = int(listener.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> MongoServer:
        """Start it and wait until it listens."""
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "secantus", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--storage-path", str(self._folder / "data")]
        command += ["--cache-size", "64M", "--log-level", "WARNING", *self._options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.02)
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """End it at once, as a crash does. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing, until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def url(self, database: str) -> str:
        """Return the URL of a database; the daemon's word on its own host is not followed."""
        return f"mongodb://127.0.0.1:{self.port}/{database}?directConnection=true"


def elsewhere(database: str) -> str | None:
    """Return the URL of a database on the server that AGENTDOCK_TEST_MONGODB_URL names, if any."""
    url = os.environ.get(ELSEWHERE)
    if url is None:
        return None
    head, mark, options = url.partition("?")
    scheme, _, hosts = head.partition("://")
    return f"{scheme}://{hosts.partition('/')[0]}/{database}{mark}{options}"


def fresh_name() -> str:
    """Return the name of a database that no other test has."""
    return f"agentdock_test_{secrets.token_hex(6)}"


def fresh_database(server: MongoServer | None) -> MongoAddress:
    """Return an empty database on the tests' server; None stands for the one elsewhere."""
    name = fresh_name()
    url = elsewhere(name) if server is None else server.url(name)
    assert url is not None
    return parse(url)
