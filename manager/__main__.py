"""The command `agentdock`: takes the lock and the port, then serves until told to end."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
import uvloop

from manager.app import create_app, create_store, open_store
from manager.instance import AlreadyRunning, InstanceLock
from manager.preflight import faults_of_node_settings
from manager.settings import ManagerSettings
from wire import log
from wire.errors import StoreUnavailable
from wire.serving import allow_many_files, listen, server_config
from wire.settings import SettingsError, environment, load


class _Server(uvicorn.Server):
    """uvicorn, but a signal only ends it: it does not raise the signal again when all is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def main() -> int:
    """Run the manager; return the exit code: 0, 1 if it cannot run here, 2 for bad settings."""
    try:
        environ = environment()
        settings = load(ManagerSettings, environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if settings.launcher == "process" and (faults := faults_of_node_settings(environ)):
        print(faults, file=sys.stderr)
        return 2
    log.configure(settings.log_level, settings.log_format, "manager")
    allow_many_files()
    try:
        lock = InstanceLock(settings.data_dir, settings.url)
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"AGENTDOCK_DATA_DIR: {settings.data_dir} cannot be used: {error}", file=sys.stderr)
        return 1
    try:
        return _serve_here(settings)
    except KeyboardInterrupt:
        return 130
    finally:
        lock.release()


def _serve_here(settings: ManagerSettings) -> int:
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        print(_why_no_port(settings, error), file=sys.stderr)
        return 1
    with listener:
        try:
            uvloop.run(_serve(settings, listener))
        except SettingsError as error:
            print(error, file=sys.stderr)
            return 2
        except StoreUnavailable as error:
            print(f"AGENTDOCK_MANAGER_STORE_URL: {error.detail}", file=sys.stderr)
            return 1
        except OSError as error:
            print(f"AGENTDOCK_DATA_DIR: {error}", file=sys.stderr)
            return 1
    return 0


async def _serve(settings: ManagerSettings, listener: socket.socket) -> None:
    store = create_store(settings)
    await open_store(store)  # here, so that a store that cannot be used is one clear line
    app = create_app(settings, store=store, announce=_announce(settings))
    config = server_config(app, loop="none", hangers_on_s=round(settings.drain_s))
    await _Server(config).serve(sockets=[listener])


def _announce(settings: ManagerSettings) -> Callable[[str], None] | None:
    """Return what shows the banner; None in a container or where the log is for machines."""
    if settings.published_host is None and settings.log_format == "text":
        return lambda text: print(text, flush=True)
    logging.getLogger(__name__).info("listening on %s port %d", settings.host, settings.port)
    return None


def _why_no_port(settings: ManagerSettings, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {settings.port} is in use by another program. "
            "Set AGENTDOCK_MANAGER_PORT to a free one."
        )
    return (
        f"Cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. "
        "Set AGENTDOCK_MANAGER_HOST and AGENTDOCK_MANAGER_PORT."
    )


if __name__ == "__main__":
    sys.exit(main())
