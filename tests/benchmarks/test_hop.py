"""The benchmark of a call's way: what it prints, and how it counts."""

from __future__ import annotations

import os

from benchmarks.echo_app import echo
from benchmarks.hop import ECHO, SDK, table
from benchmarks.load import Figures, Request, run
from tests.serving import serve
from wire.faces.http import Receive, Scope, Send


def figures(p50_ms: float) -> Figures:
    return Figures(p50_ms, 9.0, 1000.0, [0.25])


def test_each_way_is_shown_as_a_multiple_of_the_echo_and_of_the_sdk() -> None:
    lines = table({ECHO: figures(0.1), SDK: figures(1.0), "ours": figures(0.5)}).splitlines()
    assert lines[0].endswith("| / echo | / SDK |")
    assert lines[-1] == "| ours | 0.500 | 9.00 | 1000 | 0.250 | 5.00 | 0.50 |"


async def test_every_caller_calls_at_least_once() -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await echo(scope, receive, send)

    async with serve(answer) as url:
        request = Request.post(int(url.rpartition(":")[2]), "/", b'"hi"', b"hi")
        measured = await run(request, callers=4, calls=2, pids=[os.getpid()])
    assert 0 < measured.p50_ms <= measured.p99_ms
    assert measured.calls_per_s > 0


async def _live(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})
