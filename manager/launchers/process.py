"""The launcher that starts nodes as child processes, which end with the manager.

Each node holds the read end of a pipe whose write end only the manager has. However the manager
ends, also by SIGKILL, the kernel closes the pipe and the node ends itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from manager.launchers.base import LaunchedNode, LaunchFailed, NodeSpec
from wire.children import keep_standard_streams

log = logging.getLogger(__name__)

NAME = "process"
COMMAND = (sys.executable, "-m", "nodes", "--end-with-stdin")
OURS = "AGENTDOCK_MANAGER_"
MAX_LOG = 5 * 1024 * 1024
TAIL = 4096


class ProcessLauncher:
    """See `Launcher`.

    Args:
        specs: The nodes to keep running.
        environ: Our environment; nodes get it without the manager's own settings.
        secret: AGENTDOCK_SECRET.
        data_dir: Folder of everything that is kept; logs go to `logs/` in it.
        manager_url: Where nodes reach the manager.
        command: What starts a node.
        drain_s: Seconds that a node gets to end by itself, finishing its calls.
        grace_s: Seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        specs: Sequence[NodeSpec],
        *,
        environ: Mapping[str, str],
        secret: str,
        data_dir: Path,
        manager_url: str,
        command: Sequence[str] = COMMAND,
        drain_s: float = 25.0,
        grace_s: float = 3.0,
    ) -> None:
        self._specs = tuple(specs)
        self._environ = {k: v for k, v in environ.items() if not k.startswith(OURS)}
        self._environ |= {
            "AGENTDOCK_SECRET": secret,
            "AGENTDOCK_DATA_DIR": str(data_dir.absolute()),
            "AGENTDOCK_NODE_MANAGER_URL": manager_url,
        }
        self._logs = data_dir.absolute() / "logs"
        self._command = tuple(command)
        self._drain_s = drain_s
        self._grace_s = grace_s
        self._processes: dict[str, tuple[LaunchedNode, Process]] = {}

    def wanted(self) -> Sequence[NodeSpec]:
        """See `Launcher`."""
        return self._specs

    async def launch(self, spec: NodeSpec) -> LaunchedNode:
        """See `Launcher`."""
        known = self._processes.get(spec.id)
        if known is not None and known[1].returncode is None:
            return known[0]
        log_path = self._logs / f"node-{spec.id}.log"
        environ = self._environ | {
            "AGENTDOCK_NODE_ID": spec.id,
            "AGENTDOCK_NODE_PORT": str(spec.port),
            "AGENTDOCK_NODE_PROFILE": spec.profile,
        }
        try:
            process = await self._spawn(log_path, environ)
        except OSError as error:
            raise LaunchFailed(f"node {spec.id} could not be started: {error}") from error
        node = LaunchedNode(spec.id, NAME, str(process.pid), str(log_path))
        self._processes[spec.id] = (node, process)
        log.debug("node %s started as process %d", spec.id, process.pid)
        return node

    async def _spawn(self, log_path: Path, environ: Mapping[str, str]) -> Process:
        with _open_log(log_path) as output:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=output,
                stderr=output,
                env=dict(environ),
                start_new_session=True,  # Ctrl-C at the terminal is for the manager alone
                preexec_fn=keep_standard_streams,
            )

    async def adopt(self, node: LaunchedNode) -> bool:
        """Return False: these nodes end with the manager that started them."""
        return False

    async def ended(self, node: LaunchedNode) -> str | None:
        """See `Launcher`."""
        known = self._processes.get(node.id)
        if known is None or known[0] != node:
            return f"node {node.id} was not started by this manager"
        code = known[1].returncode
        if code is None:
            return None
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return f"node {node.id} ended with {how}{_last_words(Path(node.log))}"

    async def stop(self, node: LaunchedNode) -> None:
        """See `Launcher`. Cancelling the caller does not interrupt it half-way."""
        known = self._processes.get(node.id)
        if known is not None and known[0] == node:
            await asyncio.shield(self._end(known[1]))
            if self._processes.get(node.id) is known:
                del self._processes[node.id]

    async def close(self) -> None:
        """See `Launcher`."""
        nodes = [node for node, _ in self._processes.values()]
        await asyncio.gather(*(self.stop(node) for node in nodes))

    async def _end(self, process: Process) -> None:
        """Close its stdin, wait, ask its whole group to end, wait, kill the group."""
        assert process.stdin is not None
        process.stdin.close()
        if await _wait(process, self._drain_s):
            return
        log.warning("node process %d does not end by itself; terminating it", process.pid)
        _signal_group(process, signal.SIGTERM)
        if await _wait(process, self._grace_s):
            return
        _signal_group(process, signal.SIGKILL)
        await process.wait()


def _open_log(path: Path) -> BinaryIO:
    """Open a log to append to; one that grew long is put aside first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_LOG:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


async def _wait(process: Process, timeout_s: float) -> bool:
    """Return whether the process ended in time."""
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _signal_group(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass


def _last_words(path: Path) -> str:
    """Return the last line of a log, to be appended to how the node ended."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    words = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {words}" if words else ""
