"""What a call costs on its way: manager hop and node relay, beside a raw echo and a plain server.

Run `make bench`, or `python -m benchmarks.hop [calls]`. Judge by CPU per call and by the ratios of
the medians in one run, `/ echo` to the raw echo and `/ SDK` to the SDK's server: machines differ,
and their other load comes and goes. Finishes in under two minutes.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
import uvloop

from benchmarks.load import Figures, Request, rss_mb, run

CALLS = 8000
KEY = secrets.token_hex(16)
ECHO, SDK = "raw ASGI echo", "SDK server, /mcp"
"""What the other ways are compared with."""

AUTHORIZATION = f"Authorization: Bearer {KEY}\r\nX-Session-Id: rollout-1\r\n"
TEXT = "x" * 40


@contextmanager
def child(arguments: list[str], **environ: str) -> Iterator[int]:
    """Run a module of ours as a child process; yield its id."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if "BENCH_LOUD" not in os.environ else None,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """Return a loopback port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(url: str, seconds: float = 30) -> None:
    """Return when `url` answers with 200.

    Raises:
        TimeoutError: it did not within `seconds`.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=1):  # loopback only
                return
        except urllib.error.HTTPError as error:
            if error.code in (404, 406):
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer within {seconds} s")


def platform(stack: ExitStack, folder: Path) -> tuple[int, int, int, int]:
    """Start a manager and a node; return manager pid and port, node pid and port."""
    profile = folder / "bench.toml"
    command = 'command = "python"\nargs = ["-m", "benchmarks.cheap_server"]\n'
    profile.write_text(f"[mcpServers.cheap]\n{command}")
    manager_port, node_port = free_port(), free_port()
    shared = {"AGENTDOCK_SECRET": secrets.token_hex(16), "AGENTDOCK_DATA_DIR": str(folder)}
    manager = stack.enter_context(
        child(
            ["manager"],
            AGENTDOCK_MANAGER_PORT=str(manager_port),
            AGENTDOCK_MANAGER_LAUNCHER="external",
            AGENTDOCK_MANAGER_API_KEYS=f"bench:agent:{KEY}",
            **shared,
        )
    )
    node = stack.enter_context(
        child(
            ["nodes"],
            AGENTDOCK_NODE_ID="bench",
            AGENTDOCK_NODE_PORT=str(node_port),
            AGENTDOCK_NODE_PROFILE=str(profile),
            AGENTDOCK_NODE_MANAGER_URL=f"http://127.0.0.1:{manager_port}",
            **shared,
        )
    )
    wait_for(f"http://127.0.0.1:{manager_port}/readyz")
    return manager, manager_port, node, node_port


async def stdio_p50(calls: int) -> float:
    """Return the median latency in ms of the same tool spoken to directly over its pipes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.cheap_server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    params = {"name": "echo", "arguments": {"text": TEXT}}
    line = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    latencies = []
    for _ in range(calls):
        started = time.perf_counter()
        process.stdin.write(line + b"\n")
        await process.stdout.readline()
        latencies.append((time.perf_counter() - started) * 1000)
    process.stdin.close()
    await process.wait()
    return sorted(latencies)[calls // 2]


def requests(ports: dict[str, int]) -> dict[str, Request]:
    """Return the request of each way."""
    v1 = orjson.dumps({"arguments": {"text": TEXT}})
    plain = orjson.dumps({"text": TEXT})
    expect = TEXT.encode()
    rpc = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "echo",
            "arguments": {"text": TEXT},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    modern = (
        "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
        "Mcp-Method: tools/call\r\nMcp-Name: {}\r\n"
    )
    through = orjson.dumps({**rpc, "params": {**rpc["params"], "name": "cheap__echo"}})  # type: ignore[dict-item]  # a dict by its literal
    manager, node = ports["manager"], ports["node"]
    return {
        ECHO: Request.post(ports["echo"], "/", v1, expect),
        SDK: Request.post(ports["sdk"], "/mcp", orjson.dumps(rpc), expect, modern.format("echo")),
        "node alone, /v1": Request.post(node, "/v1/tools/echo/call", v1, expect),
        "manager + node, /v1": Request.post(
            manager, "/v1/tools/echo/call", v1, expect, AUTHORIZATION
        ),
        "manager + node, /mcpapi": Request.post(
            manager, "/mcpapi/tool/cheap.echo", plain, expect, AUTHORIZATION
        ),
        "manager + node, /mcp": Request.post(
            manager, "/mcp", through, expect, AUTHORIZATION + modern.format("cheap__echo")
        ),
    }


async def measure(calls: int) -> None:
    """Run every way with one and with sixteen callers, and print the tables."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = {"echo": free_port(), "sdk": free_port()}
        echo = stack.enter_context(child(["benchmarks.echo_app", "echo", str(ports["echo"])]))
        sdk = stack.enter_context(child(["benchmarks.echo_app", "sdk", str(ports["sdk"])]))
        manager, ports["manager"], node, ports["node"] = platform(stack, folder)
        wait_for(f"http://127.0.0.1:{ports['echo']}/")
        wait_for(f"http://127.0.0.1:{ports['sdk']}/mcp")
        idle = rss_mb(manager)
        direct = await stdio_p50(max(1, calls // 4))
        print(f"manager idle: {idle:.0f} MB; the tool over its own pipes: p50 {direct:.3f} ms\n")
        pids = {ECHO: [echo], SDK: [sdk], "node alone, /v1": [node]}
        for callers in (1, 16):
            figures: dict[str, Figures] = {}
            for name, request in requests(ports).items():
                count = calls // 4 if name[-4:] == "/mcp" else calls
                figures[name] = await run(request, callers, count, pids.get(name, [manager, node]))
            print(f"### {callers} caller{'s' if callers > 1 else ''}\n\n{table(figures)}\n")


def table(ways: dict[str, Figures]) -> str:
    """Return the figures of one run as a table; two CPU figures are the manager's and the node's.

    The last columns are a way's median as a multiple of the raw echo's and of the SDK server's.
    """
    lines = [
        "| way | p50 ms | p99 ms | calls/s | CPU ms/call | / echo | / SDK |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in ways.items():
        cpu = " + ".join(f"{value:.3f}" for value in figures.cpu_ms)
        ratios = " | ".join(f"{figures.p50_ms / ways[base].p50_ms:.2f}" for base in (ECHO, SDK))
        lines.append(
            f"| {name} | {figures.p50_ms:.3f} | {figures.p99_ms:.2f} | {figures.calls_per_s:.0f} "
            f"| {cpu} | {ratios} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    uvloop.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS))
