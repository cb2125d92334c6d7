"""`python -m nodes` as a process: how it starts, how it ends, and that nothing outlives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nodes.__main__ import main
from nodes.environment import PROJECT_ROOT
from tests import leaks
from tests.nodes.running import SCRIPTED, WAIT_S

START_S = 20
"""A whole node starts in a second, on a machine that has nothing else to do."""

PROFILE = f"""
[mcpServers.tools]
command = "python"
args = ["-I", "-S", "{SCRIPTED}", "--grandchild", "daemon", "--grandchild", "envless",
  "--ignore-endings"]
"""


class RunningNode:
    """A node as a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        profile = folder / "mine.toml"
        profile.write_text(PROFILE)
        settings = {
            "PATH": os.environ["PATH"],
            "AGENTDOCK_DATA_DIR": str(folder),
            "AGENTDOCK_NODE_PORT": str(port),
            "AGENTDOCK_NODE_PROFILE": str(profile),
            "AGENTDOCK_NODE_STOP_GRACE_S": "0.2",
        }
        self.before = leaks.descendants()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nodes", "--end-with-stdin"],
            cwd=PROJECT_ROOT,
            env=settings,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        """Wait until its tool server is ready."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            threading.Event().wait(0.02)
        pytest.fail("the node did not become ready")

    def call(self, tool: str, **arguments: Any) -> httpx.Response:
        """Call a tool."""
        return self.client.post(f"/v1/tools/{tool}/call", json={"arguments": arguments})

    def in_flight(self) -> int:
        """Return how many calls its tool server works on."""
        return int(self.client.get("/v1/servers").json()["servers"][0]["in_flight"])

    def end(self) -> tuple[int, str]:
        """Wait for its end; return exit code and stderr."""
        _, stderr = self.process.communicate(timeout=15)
        return self.process.returncode, stderr


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningNode]:
    """Return a node that is ready; it is killed if the test did not end it."""
    node = RunningNode(tmp_path)
    try:
        node.wait_ready()
        yield node
    finally:
        node.client.close()
        node.process.kill()
        node.process.communicate(timeout=WAIT_S)


def start_here(monkeypatch: pytest.MonkeyPatch, folder: Path, **environ: str) -> int:
    """Run `main` in this process, up to where it would serve."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["nodes"])
    monkeypatch.setenv("AGENTDOCK_DATA_DIR", str(folder))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return main()


def test_a_port_in_use_is_one_line_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = start_here(monkeypatch, tmp_path, AGENTDOCK_NODE_PORT=str(port))
    assert code == 1
    assert capsys.readouterr().err == (
        f"127.0.0.1:{port} is in use: stop what listens there, or set AGENTDOCK_NODE_PORT.\n"
    )


def test_a_bad_setting_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start_here(monkeypatch, tmp_path, AGENTDOCK_NODE_DRAIN_S="long") == 2
    line = capsys.readouterr().err
    assert line.startswith("AGENTDOCK_NODE_DRAIN_S: ")
    assert line.count("\n") == 1


@pytest.mark.slow
def test_sigterm_lets_a_running_call_finish_and_leaves_nothing(running: RunningNode) -> None:
    answers: list[httpx.Response] = []
    caller = threading.Thread(target=lambda: answers.append(running.call("sleep", seconds=1)))
    caller.start()
    while running.in_flight() == 0:
        threading.Event().wait(0.02)
    running.process.send_signal(signal.SIGTERM)
    caller.join(START_S)
    assert answers[0].json()["content"] == [{"type": "text", "text": "slept"}]
    assert running.end()[0] == 0
    assert not leaks.left_since(running.before)


def test_a_killed_node_leaves_nothing(running: RunningNode) -> None:
    assert len(leaks.descendants() - running.before) >= 4
    running.process.kill()
    assert running.end()[0] == -signal.SIGKILL
    assert not leaks.left_since(running.before)


@pytest.mark.slow
def test_a_node_whose_launcher_is_gone_ends_by_itself(running: RunningNode) -> None:
    assert running.process.stdin is not None
    running.process.stdin.close()
    running.process.stdin = None
    assert running.end()[0] == 0
    assert not leaks.left_since(running.before)
