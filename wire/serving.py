"""How manager and node serve alike: the port, the limit of files, uvicorn, and what runs beside it.

What each does on signals, and how long it drains, is its own affair.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Literal

import uvicorn

from wire.faces.http import Asgi

log = logging.getLogger(__name__)

MAX_FILES = 65_536
BACKLOG = 4096
KEEP_ALIVE_S = 3600
"""Long, so that a caller finds its connection again after a pause."""


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allow_many_files() -> None:
    """Set the soft limit of open files to what we need, as far as the hard one lets us.

    A call in flight holds two sockets, a tool server three pipes. Unlimited becomes limited too:
    there are programs that walk through all numbers up to the limit when they start.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft < wanted:  # unlimited is -1
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is started. A name with both kinds of address means IPv4.

    Raises:
        OSError: it cannot be taken.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = min(found, key=lambda it: it[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def server_config(
    app: Asgi, *, loop: Literal["none", "uvloop"], hangers_on_s: int
) -> uvicorn.Config:
    """Return uvicorn's settings.

    Args:
        app: What is served; it has a lifespan.
        loop: `none` if the event loop runs already.
        hangers_on_s: Seconds that open requests get at the end.
    """
    return uvicorn.Config(
        app,
        loop=loop,
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=hangers_on_s,
    )


@asynccontextmanager
async def beside(work: Awaitable[None], what: str) -> AsyncIterator[None]:
    """Do `work` while the context is open; then cancel it and wait for its end.

    Args:
        work: Its failure is logged and ends nothing else.
        what: What stopped then, in a few words.
    """
    task = asyncio.create_task(_logged(work, what))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _logged(work: Awaitable[None], what: str) -> None:
    try:
        await work
    except Exception:
        log.exception("%s stopped working", what)
