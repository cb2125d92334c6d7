"""A node that does as it is told: answers, refuses, hangs, breaks off, answers rubbish.

Speaks the report and the link protocol on a real socket. As a program it is a node for launchers:
`python tests/fakes/scripted_node.py [--end-with-stdin | --ignore-everything | --crash TEXT]`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson

from wire.errors import PlatformError
from wire.models import NodeReport, NodeState, ServerReport, ServerState, ToolInfo

BOUND_S = 20.0


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def params(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Exchange:
    """One request and the connection to answer it on."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self, status: int, body: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", f"content-length: {len(body)}", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode() + body)
        await self.writer.drain()


Behaviour = Callable[[Exchange], Awaitable[None]]


async def answer(exchange: Exchange) -> None:
    """Answer with the tool's arguments as text, as a tool server would."""
    await respond({"result": result_of(exchange.request)})(exchange)


def result_of(request: Request) -> dict[str, Any]:
    text = orjson.dumps(request.params["arguments"]).decode()
    return {"content": [{"type": "text", "text": text}], "isError": False}


def respond(message: dict[str, Any]) -> Behaviour:
    """Answer with a JSON-RPC response of these members."""

    async def behave(exchange: Exchange) -> None:
        await exchange.reply(200, orjson.dumps({"jsonrpc": "2.0", "id": 7} | message))

    return behave


def refuse_with(error: PlatformError) -> Behaviour:
    """Answer with a problem document."""

    async def behave(exchange: Exchange) -> None:
        await exchange.reply(error.http_status, orjson.dumps(error.problem()))

    return behave


async def break_off(exchange: Exchange) -> None:
    """Close the connection without a word."""


async def half_an_answer(exchange: Exchange) -> None:
    """Close the connection in the middle of the body."""
    exchange.writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"jsonrpc":')
    await exchange.writer.drain()


async def rubbish(exchange: Exchange) -> None:
    """Say something that is not HTTP."""
    exchange.writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    await exchange.writer.drain()


async def not_json(exchange: Exchange) -> None:
    """Answer 200 with something that is not JSON."""
    await exchange.reply(200, b"<html>")


async def answer_and_close(exchange: Exchange) -> None:
    """Answer, announcing that the connection ends with it."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": 7, "result": result_of(exchange.request)})
    await exchange.reply(200, body, "connection: close")


async def hang(exchange: Exchange) -> None:
    """Say nothing until the caller hangs up."""
    await exchange.reader.read()


@dataclass
class ScriptedNode:
    """A node whose link does what `behaviour` says. `calls` are the calls that it accepted."""

    id: str = "one"
    behaviour: Behaviour = answer
    alive: Behaviour = lambda exchange: exchange.reply(200, b"{}")
    calls: list[Request] = field(default_factory=list)
    others: list[Request] = field(default_factory=list)
    connections: int = 0
    hang_ups: int = 0
    revision: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> ScriptedNode:
        """Listen; again on the same port after `stop`."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, backlog=4096
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Die: refuse connections and break those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, condition: Callable[[ScriptedNode], bool]) -> None:
        """Wait until something holds of this node.

        Raises:
            TimeoutError: it did not within BOUND_S seconds.
        """
        async with asyncio.timeout(BOUND_S), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    def report(
        self,
        *servers: ServerReport,
        state: NodeState = NodeState.READY,
        boot: str = "boot-1",
        in_flight: int = 0,
        capabilities: Sequence[str] = (),
        files_area: str = "",
    ) -> NodeReport:
        """Return a report of this node; with the server `echo` unless others are given."""
        self.revision += 1
        return NodeReport(
            id=self.id,
            boot=boot,
            profile="test",
            url=self.url,
            state=state,
            servers=list(servers) or [server("echo", tool("echo"))],
            in_flight=in_flight,
            capabilities=list(capabilities),
            revision=str(self.revision),
            files_area=files_area,
        )

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # streams log the end of a cancelled handler as a fault
        finally:
            self.hang_ups += 1
            await self._notify()
            writer.close()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve a request; return whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = first.split(" ")
        request = Request(method, path, headers, body)
        is_call = path.startswith("/link/")
        (self.calls if is_call else self.others).append(request)
        behaviour = self.behaviour if is_call else self.alive
        await self._notify()
        await behaviour(Exchange(request, reader, writer))
        return behaviour not in (break_off, half_an_answer, hang, rubbish, answer_and_close)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def tool(name: str, server: str = "echo", **fields: Any) -> ToolInfo:
    """Return a tool that takes any object unless `schema` says otherwise."""
    schema = fields.pop("schema", {"type": "object"})
    definition = {"name": name, "description": f"The tool {name}.", "inputSchema": schema}
    return ToolInfo(server=server, name=name, definition=definition, **fields)


def server(
    name: str, *tools: ToolInfo, state: ServerState = ServerState.READY, **fields: Any
) -> ServerReport:
    """Return a tool server in some state."""
    return ServerReport(name=name, state=state, tools=list(tools), **fields)


def main() -> NoReturn:
    """Be a node for a launcher: write who one is, then end as told."""
    print(f"node {os.environ['AGENTDOCK_NODE_ID']} on port {os.environ['AGENTDOCK_NODE_PORT']}")
    print(*sorted(name for name in os.environ if name.startswith("AGENTDOCK_")), flush=True)
    if "--crash" in sys.argv:
        sys.exit(sys.argv[-1])
    if "--ignore-everything" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ignoring", flush=True)
        while True:
            signal.pause()
    sys.stdin.read()
    print("ended with stdin", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
