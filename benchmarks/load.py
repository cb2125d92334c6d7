"""A load generator that costs little itself: HTTP/1.1 on bare sockets, one caller a connection."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One request, ready to be sent again and again."""

    port: int
    raw: bytes
    expect: bytes

    @classmethod
    def post(cls, port: int, path: str, body: bytes, expect: bytes, headers: str = "") -> Request:
        """Build a POST of JSON; answers must contain `expect`."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return cls(port, head.encode() + body, expect)


@dataclass(frozen=True)
class Figures:
    """What a run showed: latencies in ms, calls a second, CPU ms a call for each process."""

    p50_ms: float
    p99_ms: float
    calls_per_s: float
    cpu_ms: Sequence[float]


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    if b" 200 " not in head[:14]:
        raise RuntimeError(f"not answered: {head.decode()} {body.decode()}")
    return body


async def _caller(request: Request, calls: int, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", request.port)
    for _ in range(calls):
        started = time.perf_counter()
        writer.write(request.raw)
        answer = await _read_answer(reader)
        latencies.append((time.perf_counter() - started) * 1000)
        if request.expect not in answer:
            raise RuntimeError(f"wrong answer: {answer.decode()}")
    writer.close()
    await writer.wait_closed()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, from /proc/PID/stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Return a process's resident memory in MB, from /proc/PID/statm."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def run(request: Request, callers: int, calls: int, pids: Sequence[int]) -> Figures:
    """Send `calls` requests, at least one a caller; CPU is counted for each of `pids`."""
    await _measure(request, callers, calls // 10)
    before = [cpu_s(pid) for pid in pids]
    latencies, seconds = await _measure(request, callers, calls)
    cpu = [
        (cpu_s(pid) - was) * 1000 / len(latencies) for pid, was in zip(pids, before, strict=True)
    ]
    latencies.sort()
    return Figures(
        statistics.median(latencies),
        latencies[int(len(latencies) * 0.99)],
        len(latencies) / seconds,
        cpu,
    )


async def _measure(request: Request, callers: int, calls: int) -> tuple[list[float], float]:
    latencies: list[float] = []
    each = max(1, calls // callers)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(_caller(request, each, latencies))
    return latencies, time.perf_counter() - started
