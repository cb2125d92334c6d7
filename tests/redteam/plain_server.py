"""The negative control: a sandbox server of the same tools on plain child processes.

It isolates nothing, asks nobody who he is and checks no path and no address, as one would write it
in an afternoon. Attacks must succeed here; if they do not, the suite cannot fail.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult, TextContent

CHILD = Path(__file__).with_name("plain_child.py")
FETCH_S = 5
LONGEST_S = 30


class PlainSandbox:
    """A folder and, once code was run, a child process that keeps its variables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._child: subprocess.Popen[str] | None = None

    def python(self, code: str) -> dict[str, Any]:
        """Run a block; a child that is gone is replaced."""
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, str(CHILD)],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(code) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        return dict(json.loads(line)) if line else {"stdout": "", "error_kind": "killed"}

    def command(self, line: str) -> dict[str, Any]:
        """Run a shell command to its end."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=LONGEST_S,
            check=False,
        )
        return {
            "stdout": done.stdout.decode(errors="replace"),
            "stderr": done.stderr.decode(errors="replace"),
            "exit_code": done.returncode,
        }

    def close(self) -> None:
        """End the child and its group; what left the group stays."""
        if self._child is not None:
            try:
                os.killpg(self._child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class PlainSandboxes:
    """All sandboxes and background commands, whoever's they are."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._local = home / "local"
        self._local.mkdir()
        self._numbers = itertools.count()
        self._sandboxes: dict[str, PlainSandbox] = {}
        self._jobs: dict[str, subprocess.Popen[bytes]] = {}

    def create(self) -> dict[str, Any]:
        name = f"sandbox-{next(self._numbers)}"
        self.find(name)
        return {"text": f"Sandbox created with sandbox_id: {name}", "sandbox_id": name}

    def find(self, name: str) -> PlainSandbox:
        """Return the sandbox of that name, made if there is none."""
        if name not in self._sandboxes:
            folder = self._home / "sandboxes" / name
            folder.mkdir(parents=True, exist_ok=True)
            self._sandboxes[name] = PlainSandbox(folder)
        return self._sandboxes[name]

    def close(self, name: str) -> dict[str, Any]:
        self._sandboxes.pop(name).close()
        return {"text": f"Sandbox {name} closed"}

    def list(self) -> dict[str, Any]:
        return {"sandboxes": list(self._sandboxes)}

    def start(self, line: str, name: str) -> dict[str, Any]:
        number = f"command-{len(self._jobs)}"
        with (self._home / number).open("wb") as output:
            self._jobs[number] = subprocess.Popen(
                ["bash", "-c", line],
                cwd=self.find(name).folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return {"command_id": number}

    def output(self, number: str) -> dict[str, Any]:
        running = self._jobs[number].poll() is None
        return {"stdout": (self._home / number).read_text(errors="replace"), "running": running}

    def stop(self, number: str) -> dict[str, Any]:
        self._jobs[number].kill()
        return {"text": "stopped"}

    def upload(self, name: str, local: str, path: str) -> dict[str, Any]:
        target = self.find(name).folder / path
        shutil.copyfile(
            self._local / local, target / Path(local).name if target.is_dir() else target
        )
        return {"text": f"File uploaded to {path}"}

    def download(self, name: str, path: str, local: str | None) -> dict[str, Any]:
        target = self._local / (local or Path(path).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((self.find(name).folder / path).read_bytes())
        return {"text": f"File downloaded successfully to: {target}"}

    def fetch(self, name: str, url: str, path: str) -> dict[str, Any]:
        target = self.find(name).folder / path
        with urllib.request.urlopen(url, timeout=FETCH_S) as answer:
            content = answer.read()
        (target / "fetched" if target.is_dir() else target).write_bytes(content)
        return {"text": f"File downloaded to {path}", "stdout": content.decode(errors="replace")}


async def answer(act: Callable[..., dict[str, Any]], *arguments: Any) -> CallToolResult:
    """Return what an action answers, or its error."""
    try:
        fields = await anyio.to_thread.run_sync(act, *arguments)
    except Exception as fault:  # whatever it is, the agent is told
        fields, failed = {"error_kind": "refused", "text": f"[ERROR]: {fault!r}"}, True
    else:
        failed = False
    text = str(fields.get("text", json.dumps(fields)))
    content = [TextContent(type="text", text=text)]
    return CallToolResult(content=content, structured_content=fields, is_error=failed)


def create_server(sandboxes: PlainSandboxes) -> MCPServer:
    """Return the server with the tools of the sandbox."""
    server = MCPServer("sandbox")
    tool = server.tool(structured_output=False)

    @tool
    async def create_sandbox(
        context: Context,
        timeout: int = 600,  # noqa: ASYNC109 (the name that agents know)
    ) -> CallToolResult:
        return await answer(sandboxes.create)

    @tool
    async def close_sandbox(sandbox_id: str) -> CallToolResult:
        return await answer(sandboxes.close, sandbox_id)

    @tool
    async def list_sandboxes() -> CallToolResult:
        return await answer(sandboxes.list)

    @tool
    async def run_python_code(code_block: str, sandbox_id: str) -> CallToolResult:
        return await answer(sandboxes.find(sandbox_id).python, code_block)

    @tool
    async def run_command(
        command: str, sandbox_id: str, background: bool = False
    ) -> CallToolResult:
        if background:
            return await answer(sandboxes.start, command, sandbox_id)
        return await answer(sandboxes.find(sandbox_id).command, command)

    @tool
    async def get_command_output(sandbox_id: str, command_id: str) -> CallToolResult:
        return await answer(sandboxes.output, command_id)

    @tool
    async def stop_command(sandbox_id: str, command_id: str) -> CallToolResult:
        return await answer(sandboxes.stop, command_id)

    @tool
    async def upload_file_from_local_to_sandbox(
        sandbox_id: str, local_file_path: str, sandbox_file_path: str = "."
    ) -> CallToolResult:
        return await answer(sandboxes.upload, sandbox_id, local_file_path, sandbox_file_path)

    @tool
    async def download_file_from_sandbox_to_local(
        sandbox_id: str, sandbox_file_path: str, local_filename: str | None = None
    ) -> CallToolResult:
        return await answer(sandboxes.download, sandbox_id, sandbox_file_path, local_filename)

    @tool
    async def download_file_from_internet_to_sandbox(
        sandbox_id: str, url: str, sandbox_file_path: str = "."
    ) -> CallToolResult:
        return await answer(sandboxes.fetch, sandbox_id, url, sandbox_file_path)

    return server


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        create_server(PlainSandboxes(Path(folder))).run()
