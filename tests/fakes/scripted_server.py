"""A real MCP server over stdio that misbehaves as it is told. Hand-written lines: starts in 20 ms.

Run as `python scripted_server.py [--option...]`; see `_options`. It speaks the handshake era, or
only the stateless one with `--modern-only`. With `--sdk` the official SDK serves `echo`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\nnot really").decode()
STATELESS = "2026-07-28"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
Message = dict[str, Any]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    flag = parser.add_argument
    flag("--starts", help="file to which each start appends a line")
    flag("--crash-on-start", type=int, nargs="?", const=10**9, help="the first N starts exit 3")
    flag("--say", default="", help="print this to stderr at start")
    flag("--hang-at-start", action="store_true", help="read nothing and answer nothing")
    flag("--hang-from", type=int, default=10**9, help="hang at the N-th start and at later ones")
    flag("--rubbish", default="", help="print this line to stdout at start")
    flag("--flood-stdout", action="store_true", help="print rubbish to stdout without end")
    flag("--flood-stderr", action="store_true", help="print to stderr without end")
    flag("--ignore-endings", action="store_true", help="survive SIGTERM and the end of stdin")
    flag(
        "--grandchild",
        choices=["plain", "setsid", "daemon", "envless"],
        action="append",
        default=[],
    )
    flag("--tool", action="append", default=[], help="one more tool, which echoes")
    flag("--answer", action="append", default=[], help="echo for a tool that is listed otherwise")
    flag("--result", default="", help="a tool `tool` answers with this file, if it is there")
    flag("--phantom", action="append", default=[], help="list this tool, but do not know it")
    flag("--page-size", type=int, default=0, help="list tools in pages of this size")
    flag("--modern-only", action="store_true", help="refuse initialize")
    flag("--odd-tools", action="store_true", help="list one tool twice and one without a name")
    flag("--never-read", action="store_true", help="stop reading after the tools were listed")
    flag("--ask", default="", help="send this request to the client when ready")
    flag("--tool-definitions", default="[]", help="JSON list of definitions listed beside ours")
    flag("--sdk", action="store_true")
    return parser.parse_args()


def text(value: str, **more: Any) -> Message:
    """Return a result with one text part."""
    return {"content": [{"type": "text", "text": value}], **more}


class Server:
    """Answers one conversation; slow tools answer from timers, so that calls overlap."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tools: dict[str, Callable[[Message, Message], Message | None]] = {
            "echo": lambda arguments, _: text(str(arguments.get("text", ""))),
            "environ": lambda _, __: text(json.dumps(dict(os.environ))),
            "fail": lambda _, __: text("the tool did not like it", isError=True),
            "image": lambda _, __: {
                "content": [{"type": "image", "data": PIXEL, "mimeType": "image/png"}]
            },
            "meta": lambda _, params: text(json.dumps(params.get("_meta"))),
            "lines": lambda arguments, _: text(
                "\n".join(arguments["lines"]), structuredContent={"all": arguments["lines"]}
            ),
            "told": lambda _, __: text(json.dumps(self.told)),
            "descriptors": lambda _, __: text(json.dumps(sorted(descriptors()))),
            "raw": lambda _, __: None,
            "big": lambda arguments, _: text("x" * int(arguments["size"])),
            "mark": self.mark,
            "pid": lambda _, __: text(str(os.getpid())),
            "die": self.die,
            "change": self.change,
            **{name: lambda arguments, _: text(str(arguments)) for name in options.tool},
        }
        self.unlisted = {name: lambda arguments, _: text(str(arguments)) for name in options.answer}
        if options.result:
            self.tools["tool"] = self.given
        self.told: list[Message] = []
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Answer until stdin ends, and beyond it if so told."""
        for line in sys.stdin.buffer:
            self.take(json.loads(line))
            if self.options.never_read and self.listed:
                break
        while self.options.ignore_endings or self.options.never_read:
            time.sleep(60)

    listed = False

    def take(self, message: Message) -> None:
        """Answer one message, or note it if it needs no answer."""
        method, number = message.get("method"), message.get("id")
        if method is None or number is None:
            self.told.append(message)
            return
        params = message.get("params") or {}
        if method == "tools/call" and params["name"] in ("sleep", "mark"):
            self.call_later(number, params)
            return
        if method == "tools/call" and params["name"] == "raw":
            self.send_raw(params["arguments"]["line"].replace("ID", str(number)))
            return
        answer = self.answer(method, params)
        if answer.get("result", answer) is None:
            return
        self.send({"jsonrpc": "2.0", "id": number, **answer})
        if method == "tools/list":
            self.listed = True
            if self.options.ask:
                self.send({"jsonrpc": "2.0", "id": "ours", "method": self.options.ask})

    def answer(self, method: str, params: Message) -> Message:
        """Return `result` or `error`."""
        if self.options.modern_only:
            meta = params.get("_meta") or {}
            if meta.get(VERSION_KEY) != STATELESS or CAPABILITIES_KEY not in meta:
                return error(-32022, "unsupported protocol version", {"supported": [STATELESS]})
            if method == "server/discover":
                return {"result": {"supportedVersions": [STATELESS], "capabilities": {}}}
        elif method == "initialize":
            version = params["protocolVersion"]
            info = {"name": "scripted", "version": "1"}
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            return {"result": result}
        if method == "tools/list":
            return {"result": self.list_tools(params)}
        if method == "tools/call":
            tool = (self.tools | self.unlisted).get(params["name"])
            if tool is None:
                return error(-32602, f"Unknown tool: {params['name']}")
            return {"result": tool(params.get("arguments") or {}, params)}
        return error(-32601, "Method not found")

    def list_tools(self, params: Message) -> Message:
        """Return one page of tools."""
        names = sorted([*self.tools, *self.options.phantom, "sleep"])
        tools: list[Message] = [{"name": n, "inputSchema": {"type": "object"}} for n in names]
        tools += json.loads(self.options.tool_definitions)
        if self.options.odd_tools:
            tools += [{"name": "echo", "description": "again"}, {"inputSchema": {}}]
        size = self.options.page_size or len(tools)
        start = int(params.get("cursor") or 0)
        page: Message = {"tools": tools[start : start + size]}
        if start + size < len(tools):
            page["nextCursor"] = str(start + size)
        return page

    def call_later(self, number: int, params: Message) -> None:
        """Run a slow tool: its effect is at once, its answer after a while."""
        arguments = params.get("arguments") or {}
        result = self.mark(arguments, params) if params["name"] == "mark" else text("slept")
        answer = {"jsonrpc": "2.0", "id": number, "result": result}
        timer = threading.Timer(float(arguments.get("seconds", 0)), self.send, [answer])
        timer.daemon = True
        timer.start()

    def given(self, _: Message, __: Message) -> Message | None:
        """Answer with the result that the file holds now; without it, never."""
        file = Path(self.options.result)
        result: Message | None = json.loads(file.read_text()) if file.exists() else None
        return result

    def mark(self, arguments: Message, _: Message) -> Message:
        """Have a side effect that can be counted."""
        with Path(arguments["file"]).open("a") as file:
            file.write(f"{arguments.get('token', 'x')}\n")
        return text("marked")

    def die(self, arguments: Message, _: Message) -> NoReturn:
        """Die in mid-call."""
        if "signal" in arguments:
            os.kill(os.getpid(), int(arguments["signal"]))
        print(arguments.get("say", "dying"), file=sys.stderr, flush=True)
        os._exit(int(arguments.get("code", 3)))

    def change(self, arguments: Message, _: Message) -> Message:
        """Have one more tool, and say so."""
        self.tools[arguments["add"]] = lambda given, _: text(str(given))
        self.send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        return text("changed")

    def send(self, message: Message) -> None:
        """Write one message."""
        self.send_raw(json.dumps(message))

    def send_raw(self, line: str) -> None:
        """Write one line, whatever it is; its characters are bytes."""
        with self._lock:
            sys.stdout.buffer.write(line.encode("latin-1") + b"\n")
            sys.stdout.buffer.flush()


def descriptors() -> dict[str, str]:
    """Return our open descriptors and what they are, without the one that lists them."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def error(code: int, message: str, data: object = None) -> Message:
    """Return a JSON-RPC error."""
    return {"error": {"code": code, "message": message, "data": data}}


def leave_grandchild(kind: str) -> None:
    """Start a process that outlives us: in our session, in its own, orphaned, without a trace."""
    sleep = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
    if kind in ("daemon", "envless"):
        empty = ", env={}" if kind == "envless" else ""
        popen = f"subprocess.Popen(sys.argv[1:], start_new_session=True{empty})"
        code = f"import subprocess, sys; {popen}"
        subprocess.run([sys.executable, "-I", "-S", "-c", code, *sleep], check=True)
    else:
        subprocess.Popen(sleep, start_new_session=kind == "setsid")


def flood(stream: int) -> None:
    """Write lines without end."""
    block = b"the same useless line, over and over\n" * 100  # a pipe takes up to 4096 as one
    while True:
        os.write(stream, block)


def count_start(options: argparse.Namespace) -> int:
    """Note this start; return the how many-th it is."""
    if not options.starts:
        return 1
    with Path(options.starts).open("a+") as file:
        file.write(f"{os.getpid()}\n")
        file.seek(0)
        return len(file.readlines())


def serve_with_sdk() -> None:
    """Serve with the official SDK, as most servers do."""
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("scripted")

    @server.tool()
    def echo(text: str) -> str:
        """Return the text."""
        return text

    server.run("stdio")


def main() -> int:
    """Misbehave at the start if told to, then serve."""
    options = _options()
    start = count_start(options)
    if options.say:
        print(options.say, file=sys.stderr, flush=True)
    if options.rubbish:
        print(options.rubbish, flush=True)
    if options.crash_on_start and start <= options.crash_on_start:
        return 3
    if options.ignore_endings:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for kind in options.grandchild:
        leave_grandchild(kind)
    for wanted, stream in ((options.flood_stdout, 1), (options.flood_stderr, 2)):
        if wanted:
            threading.Thread(target=flood, args=[stream], daemon=True).start()
    if options.hang_at_start or start >= options.hang_from:
        time.sleep(600)
    if options.sdk:
        serve_with_sdk()
    else:
        Server(options).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
