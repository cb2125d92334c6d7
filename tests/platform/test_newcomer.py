"""The platform as a newcomer meets it: a fresh clone, `make run`, the first call, the end."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_ports

ROOT = Path(__file__).parent.parent.parent
PATH = "/usr/local/bin:/usr/bin:/bin"
ORDINARY_USER = "nobody"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git clone to clone from"),
]


class Newcomer:
    """An ordinary user with a fresh clone, an empty environment, a folder for temporary files."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "agentdock"
        self.tmp = folder / "tmp"
        self.ports = free_ports(3)
        subprocess.run(["git", "clone", "-q", str(ROOT), str(self.clone)], check=True)
        self.tmp.mkdir()
        manager, explore, full = self.ports
        (self.clone / ".env").write_text(
            f"AGENTDOCK_MANAGER_PORT={manager}\n"
            f"AGENTDOCK_MANAGER_LOCAL_NODES=explore:{explore},full:{full}\n"
        )
        self.user = ORDINARY_USER if os.geteuid() == 0 else None
        if self.user:
            account = pwd.getpwnam(self.user)
            subprocess.run(
                ["chown", "-R", f"{account.pw_uid}:{account.pw_gid}", str(folder)], check=True
            )
        folder.chmod(0o755)

    def make(self, target: str) -> subprocess.Popen[str]:
        """Run `make target` as the newcomer, in a session of its own."""
        return subprocess.Popen(
            ["make", target],
            cwd=self.clone,
            env={"PATH": PATH, "TMPDIR": str(self.tmp)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=self.user,
            group=pwd.getpwnam(self.user).pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
            start_new_session=True,
        )

    def processes(self) -> list[str]:
        """Return the command lines of all processes that work in the clone or its session."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                where = os.readlink(entry / "cwd")
            except OSError:
                continue
            if str(self.clone) in command or where.startswith(str(self.clone)):
                found.append(f"{entry.name} {command}")
        return found

    def manager_pid(self) -> int:
        """Return the manager's process id, as it wrote it beside its data."""
        lock = (self.clone / "data" / "manager.lock").read_text()
        return int(lock.split()[1].rstrip(","))


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether `condition` comes true within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def call(port: int) -> dict[str, object]:
    """Make the README's first call."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/tools/run_python_code/call",
        data=json.dumps({"arguments": {"code_block": "print(6*7)"}}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        result: dict[str, object] = json.load(answer)
        return result


def read_until(process: subprocess.Popen[str], needle: str, lines: list[str]) -> None:
    """Read what the process prints until a line has `needle`."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if needle in line:
            return
    pytest.fail(f"{needle!r} was never printed:\n{''.join(lines)}")


@contextmanager
def started(newcomer: Newcomer) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run `make run` until it says that all is ready; end it by its session at the latest."""
    lines: list[str] = []
    process = newcomer.make("run")
    try:
        read_until(process, "curl ", lines)
        yield process, lines
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout is not None
        lines.extend(process.stdout)
        process.stdout.close()
        process.wait(30)


@pytest.fixture(scope="module")
def newcomer() -> Iterator[Newcomer]:
    """Return a newcomer whose folder an ordinary user can reach, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="newcomer-"))
    yield Newcomer(folder)
    shutil.rmtree(folder)


def test_make_run_starts_the_platform_and_sigterm_leaves_nothing(newcomer: Newcomer) -> None:
    with started(newcomer) as (process, lines):
        answer = call(newcomer.ports[0])
        second = newcomer.make("run")
        said = second.communicate(timeout=60)[0]
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)
    text = "".join(lines)
    assert "42" in json.dumps(answer["content"])
    assert answer["is_error"] is False
    assert second.returncode != 0
    assert "already running" in said
    assert "Error 1" in said  # make's word for the exit code of what it ran
    assert f"http://127.0.0.1:{newcomer.ports[0]}" in text
    assert "run_python_code" in text
    assert "logs" in text
    assert eventually(lambda: not newcomer.processes(), 5), newcomer.processes()
    assert list(newcomer.tmp.iterdir()) == []
    for port in newcomer.ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_ctrl_c_ends_everything(newcomer: Newcomer) -> None:
    with started(newcomer) as (process, lines):
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
    assert "Traceback" not in "".join(lines)
    assert eventually(lambda: not newcomer.processes(), 5), newcomer.processes()


def test_a_killed_manager_leaves_no_orphan_after_ten_seconds(newcomer: Newcomer) -> None:
    with started(newcomer):
        assert call(newcomer.ports[0])["is_error"] is False
        os.kill(newcomer.manager_pid(), signal.SIGKILL)
        assert eventually(lambda: not newcomer.processes(), 10), newcomer.processes()


def test_a_bad_setting_stops_the_start_with_one_line_that_names_it(newcomer: Newcomer) -> None:
    env_file = newcomer.clone / ".env"
    good = env_file.read_text()
    env_file.write_text(f"{good}AGENTDOCK_MANAGER_RECORD_DAYS=soon\n")
    process = newcomer.make("run")
    said = process.communicate(timeout=60)[0]
    env_file.write_text(good)
    assert process.returncode != 0
    assert len([line for line in said.splitlines() if "AGENTDOCK_MANAGER_RECORD_DAYS" in line]) == 1
    assert "Traceback" not in said
