"""What the fetcher meets in tests: scripted names, servers that say any bytes, a watch on dials."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from mcp_servers.fetching.app import create_fetcher
from mcp_servers.fetching.fetcher import Fetcher
from mcp_servers.fetching.retries import RetryPolicy
from mcp_servers.fetching.settings import FetchSettings

AT_ONCE = RetryPolicy(attempts=3, base_s=0.0, longest_s=2.0)


class ScriptedResolver:
    """Names lead where the script says: to one list of addresses, or to the next of several."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.names.get(host, [])
        if len(answers) > 1:
            return answers.pop(0)
        return answers[0] if answers else []


def resolver(names: dict[str, Sequence[str]]) -> ScriptedResolver:
    """Return a resolver that always says the same."""
    made = ScriptedResolver()
    made.names = {name: [answer] for name, answer in names.items()}
    return made


@dataclass
class Dials:
    """Every address that this process tried to connect to while it was watched."""

    seen: list[tuple[str, int]] = field(default_factory=list)
    watching: bool = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "socket.connect" or not self.watching:
            return
        address = arguments[1]
        if not isinstance(address, tuple):
            return
        self.seen.append((str(address[0]), int(address[1])))
        if not ipaddress.ip_address(address[0]).is_loopback:
            raise ConnectionRefusedError("tests reach this machine only")


class Watch:
    """The one audit hook of a test process: hooks cannot be taken away again."""

    hook: Dials | None = None


@contextmanager
def watched_dials() -> Iterator[Dials]:
    """Watch every dial of this process; none that leaves the machine is let through."""
    if Watch.hook is None:
        Watch.hook = Dials()
        sys.addaudithook(Watch.hook)
    Watch.hook.seen = []
    Watch.hook.watching = True
    try:
        yield Watch.hook
    finally:
        Watch.hook.watching = False


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Served:
    """A server of a test: its port, and the heads of the requests it got."""

    port: int
    heads: list[str] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(answer: Answer, host: str = "127.0.0.1", **tls: Any) -> AsyncIterator[Served]:
    """Serve on a free port; `answer` gets the streams when a request's head is there."""
    served = Served(0)
    running: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        served.connections += 1
        try:
            served.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            await answer(reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            running.discard(task)

    server = await asyncio.start_server(talk, host, 0, **tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def saying(*answers: bytes) -> Answer:
    """Return an answer of these bytes: the next one for each connection, then the last again."""
    left = list(answers)

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return say


def http(body: bytes = b"hello", status: str = "200 OK", *headers: str) -> bytes:
    """Return a whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def fetcher(
    *inner: Served | str, names: ScriptedResolver | None = None, tls: Any = None, **settings: Any
) -> Fetcher:
    """Return a fetcher that may fetch from these servers, without waiting between tries."""
    hosts = [host if isinstance(host, str) else f"127.0.0.1:{host.port}" for host in inner]
    settings.setdefault("host_rate", 10_000)
    return create_fetcher(
        FetchSettings(allowed_hosts=",".join(hosts), **settings),
        resolver=names or resolver({"127.0.0.1": ["127.0.0.1"]}),
        tls=tls,
        retries=AT_ONCE,
    )
