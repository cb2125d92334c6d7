"""The command itself, as processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
Start = Callable[..., Awaitable[Process]]

pytestmark = pytest.mark.slow


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
async def start(tmp_path: Path, port: int) -> AsyncIterator[Start]:
    running: list[Process] = []

    async def run(**variables: str) -> Process:
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "AGENTDOCK_DATA_DIR": str(tmp_path / "data"),
            "AGENTDOCK_MANAGER_PORT": str(port),
            "AGENTDOCK_MANAGER_LAUNCHER": "external",
        } | {f"AGENTDOCK_{name}": value for name, value in variables.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "manager",
            env={name: value for name, value in environ.items() if value},
            cwd=tmp_path,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def refusal(process: Process) -> tuple[int, str]:
    """Return the exit code and what was said on stderr."""
    _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode is not None
    return process.returncode, stderr.decode()


async def ready(process: Process) -> None:
    """Wait until the manager says that it runs."""
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readuntil(b"Ctrl-C ends it."), 20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(start: Start, number: signal.Signals) -> None:
    process = await start()
    await ready(process)
    process.send_signal(number)
    assert await refusal(process) == (0, "")


async def test_a_second_start_says_who_runs_already(start: Start, port: int) -> None:
    first = await start()
    await ready(first)
    code, text = await refusal(await start())
    assert code == 1
    assert text == (f"AgentDock is already running (pid {first.pid}, http://127.0.0.1:{port})\n")


async def test_after_a_kill_it_starts_again(start: Start) -> None:
    first = await start()
    await ready(first)
    first.kill()
    await first.communicate()
    await ready(await start())


async def test_a_port_in_use_is_one_clear_line(start: Start, port: int) -> None:
    with closing(socket.create_server(("127.0.0.1", port))):
        code, text = await refusal(await start())
    assert code == 1
    assert text.count("\n") == 1
    assert "AGENTDOCK_MANAGER_PORT" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MANAGER_PORT", "http"),
        ("MANAGER_HOST", "0.0.0.0"),
        ("MANAGER_LAUNCER", "process"),
        ("LOG_LEVEL", "LOUD"),
        ("MANAGER_STORE_URL", "mongodb://db:port"),
    ],
)
async def test_bad_settings_are_one_clear_line_that_names_the_variable(
    start: Start, name: str, value: str
) -> None:
    code, text = await refusal(await start(**{name: value}))
    assert code == 2
    assert text.count("\n") == 1
    assert f"AGENTDOCK_{name}" in text


@pytest.mark.parametrize(("name", "value"), [("NODE_DRAIN_S", "abc"), ("NODE_DRIAN_S", "1")])
async def test_bad_settings_of_the_nodes_that_it_would_start_stop_it_too(
    start: Start, name: str, value: str
) -> None:
    code, text = await refusal(await start(MANAGER_LAUNCHER="process", **{name: value}))
    assert code == 2
    assert text.count("\n") == 1
    assert f"AGENTDOCK_{name}" in text


async def test_a_store_that_cannot_be_used_is_one_clear_line(start: Start, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "newer.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    url = f"sqlite:///{tmp_path}/newer.db"
    code, text = await refusal(await start(MANAGER_STORE_URL=url))
    assert code == 1
    assert text.count("\n") == 1
    assert "newer version" in text


async def test_a_data_folder_that_cannot_be_used_is_one_clear_line(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, text = await refusal(await start(DATA_DIR=str(tmp_path / "file" / "data")))
    assert code == 1
    assert text.count("\n") == 1
    assert "AGENTDOCK_DATA_DIR" in text


async def test_idle_it_needs_at_most_110_mb(start: Start) -> None:
    process = await start()
    await ready(process)
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    assert int(line.split()[1]) <= 110_000
