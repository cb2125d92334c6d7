"""The sweep that nothing survives, and the guardian that does it when the node cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from nodes import guardian
from nodes.guardian import INSTANCE, sweep
from nodes.guarding import Guarding
from tests import leaks

SLEEP = [sys.executable, "-I", "-S", "-c", "import time; print(flush=True); time.sleep(600)"]


@pytest.fixture
def marker() -> str:
    return f"test-{os.urandom(8).hex()}"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Collect processes, which are ended and reaped afterwards."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(5)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def start(
    started: list[subprocess.Popen[bytes]], environ: dict[str, str], *, session: bool = False
) -> int:
    """Start a sleeper and wait until it runs: before its exec it has our environment."""
    process = subprocess.Popen(
        SLEEP, env=environ, stdout=subprocess.PIPE, start_new_session=session
    )
    started.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    return process.pid


def test_a_sweep_ends_what_carries_the_marker_and_nothing_else(
    marker: str, started: list[subprocess.Popen[bytes]]
) -> None:
    marked = start(started, {INSTANCE: f"{marker}.one"})
    other = start(started, {INSTANCE: "other"})
    mentions = start(started, {"SOMETHING": f"{INSTANCE}={marker}"})
    assert sweep(marker) == 1
    assert leaks.ended(marked, 5)
    assert leaks.alive(other)
    assert leaks.alive(mentions)


def test_a_sweep_ends_those_of_a_session_though_they_dropped_the_marker(
    marker: str, started: list[subprocess.Popen[bytes]]
) -> None:
    leader = start(started, {}, session=True)
    assert sweep(marker) == 0
    assert sweep(marker, session=leader) == 1
    assert leaks.ended(leader, 5)


def test_a_sweep_ends_the_descendants_of_what_is_marked(
    marker: str, started: list[subprocess.Popen[bytes]]
) -> None:
    before = leaks.descendants()
    code = (
        "import subprocess, sys, time;"
        "subprocess.Popen(sys.argv[1:], env={}, start_new_session=True);"
        "time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, *SLEEP],
        env={INSTANCE: marker},
        stdout=subprocess.PIPE,
    )
    started.append(parent)
    assert parent.stdout is not None
    parent.stdout.readline()
    assert sweep(marker) == 2
    parent.wait(5)
    assert not leaks.left_since(before)


def test_the_guardian_ends_what_is_marked_when_its_pipe_closes(
    marker: str, started: list[subprocess.Popen[bytes]]
) -> None:
    marked = start(started, {INSTANCE: f"{marker}.one"}, session=True)
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", guardian.__file__, marker],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    started.append(watcher)
    assert watcher.stdin is not None
    assert leaks.alive(marked)
    watcher.stdin.close()
    assert leaks.ended(marked, 5)
    assert watcher.wait(5) == 0


def test_a_guardian_that_is_killed_is_replaced_and_ends_with_its_node(marker: str) -> None:
    with Guarding(marker) as guarding:
        first = guarding.pid
        leaks.kill(first)
        until = time.monotonic() + 5
        while guarding.pid == first and time.monotonic() < until:
            leaks.ended(first, 0.02)
        second = guarding.pid
        assert second != first
        assert leaks.alive(second)
    assert leaks.ended(second, 5)
