"""`python -m nodes`: runs one node until it is told to stop, and ends everything it started."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import os
import secrets
import socket
import sys
import threading
from types import FrameType

import uvicorn

from nodes.app import Service, create_service
from nodes.guarding import Guarding
from nodes.settings import NodeSettings, load_settings
from wire.log import configure
from wire.serving import allow_many_files, listen, server_config
from wire.settings import SettingsError, environment

log = logging.getLogger(__name__)

HANGERS_ON_S = 1
"""Seconds that open streams get at the end, when the calls are done."""

LAUNCHER_GONE_DRAIN_S = 1.0
"""Whoever started us is gone, and with it the callers: there is little to wait for."""


class _Server(uvicorn.Server):
    """A uvicorn that drains the node before it closes any connection."""

    def __init__(self, config: uvicorn.Config, service: Service, drain_s: float) -> None:
        super().__init__(config)
        self._node = service.node
        self._drain_s = drain_s
        self._drain: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first signal, end at once on the second."""
        self.end_soon(self._drain_s)

    def end_soon(self, drain_s: float) -> None:
        """Drain for at most `drain_s` seconds, then end. May be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin_drain, drain_s)

    def _begin_drain(self, drain_s: float) -> None:
        if self._drain is None:
            log.info("draining: running calls get up to %g s", drain_s)
            self._drain = asyncio.get_running_loop().create_task(self._drain_and_end(drain_s))
        else:
            self.should_exit = True

    async def _drain_and_end(self, drain_s: float) -> None:
        try:
            await self._node.host.drain(drain_s)
        finally:
            self.should_exit = True


def main() -> int:
    """Run a node; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m nodes", description="Run one AgentDock node.")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="end when stdin closes: the launcher is gone"
    )
    parser.add_argument("--check", action="store_true", help="only say whether settings are good")
    arguments = parser.parse_args()
    try:
        settings = load_settings(environment())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.check:
        return 0
    try:
        listener = listen(settings.host, settings.listen_port)
    except OSError as error:
        print(_cannot_listen(settings, error), file=sys.stderr)
        return 1
    configure(settings.log_level, settings.log_format, f"node {settings.node_id}")
    allow_many_files()
    run = secrets.token_hex(16)
    with listener, Guarding(run):
        service = create_service(settings, environment, run)
        config = server_config(service.front, loop="uvloop", hangers_on_s=HANGERS_ON_S)
        server = _Server(config, service, settings.drain_s)
        if arguments.end_with_stdin:
            _end_with_stdin(server)
        log.info("listening on %s", settings.url)
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _cannot_listen(settings: NodeSettings, error: OSError) -> str:
    place = f"{settings.host}:{settings.listen_port}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use: stop what listens there, or set AGENTDOCK_NODE_PORT."
    reason = error.strerror or str(error)
    return f"Cannot listen on {place}: {reason}. Set AGENTDOCK_NODE_HOST and AGENTDOCK_NODE_PORT."


def _end_with_stdin(server: _Server) -> None:
    """End the server when stdin reaches its end."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        log.info("stdin has closed: whoever started this node is gone")
        server.end_soon(LAUNCHER_GONE_DRAIN_S)

    threading.Thread(target=wait, name="stdin", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
