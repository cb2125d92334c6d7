"""What the sandbox's tools do, for whom, and how long a call may take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from mcp_servers.sandbox import answers, script, texts
from mcp_servers.sandbox.answers import Refused
from mcp_servers.sandbox.command import Command
from mcp_servers.sandbox.paths import BadPath
from mcp_servers.sandbox.run import CannotRun, TimeLimit
from mcp_servers.sandbox.sandbox import Sandbox
from mcp_servers.sandbox.sandboxes import Elsewhere, Sandboxes
from mcp_servers.sandbox.transfers import NoWorkspace, Refusal, Transfers
from mcp_servers.sandbox.turns import TooMuch, Turns

OWNER = "agentdock/owner"
DEADLINE = "agentdock/timeout_s"
RETRY_AFTER = "agentdock/retry_after_s"
ELSEWHERE = "agentdock/elsewhere"
NOT_BEGUN = -32000
LONGEST_S = 600.0
MARGIN_S = 3.0
"""Seconds between the code's limit and the deadline: for SIGINT, SIGKILL and the answer."""

Meta = Mapping[str, Any] | None
"""The `_meta` of a call."""


class Tools:
    """What the tools do.

    Args:
        sandboxes: Where they do it.
        transfers: Moves files.
        turns: Who may run now.
        call_s: Seconds for a call that names none.
        ttl_s: Longest life of a sandbox that is not used, in seconds.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        transfers: Transfers,
        turns: Turns,
        *,
        call_s: float = 60.0,
        ttl_s: float = 600.0,
    ) -> None:
        self.sandboxes = sandboxes
        self.transfers = transfers
        self._turns = turns
        self._call_s = call_s
        self._ttl_s = ttl_s

    async def create(self, meta: Meta, ttl_s: float) -> CallToolResult:
        """Open a sandbox."""
        ttl = min(ttl_s, self._ttl_s) if ttl_s > 0 else self._ttl_s
        async with self._turn(meta) as owner:
            live = await self.sandboxes.create(owner, ttl)
        level = self.sandboxes.level
        return answers.text(
            f"Sandbox created with sandbox_id: {live.id}",
            sandbox_id=live.id,
            ttl_s=ttl,
            level=level.name,
            promises=sorted(level.promises()),
        )

    async def python(
        self, meta: Meta, code: str, sandbox_id: str, timeout_s: float | None
    ) -> CallToolResult:
        """Run Python code, in a sandbox of its own if none is named."""
        limit = self.limit(meta, timeout_s)
        async with self._turn(meta) as owner:
            if sandbox_id in texts.THROW_AWAY:
                async with self.sandboxes.thrown_away() as sandbox:
                    run = await sandbox.python(code, limit, last=True)
            else:
                async with self.sandboxes.held(sandbox_id, owner) as sandbox:
                    run = await sandbox.python(code, limit)
        return answers.execution(run)

    async def execute(
        self, meta: Meta, code: str, filename: str | None, timeout_s: float | None
    ) -> CallToolResult:
        """Run Python code as a file, and answer as AgentDock's `execute_code` does."""
        limit = self.limit(meta, timeout_s)
        try:
            name = script.file_name(filename)
        except BadPath as error:
            raise Refused(f"[ERROR]: {error}", "bad_path") from None
        async with self._turn(meta), self.sandboxes.thrown_away() as sandbox:
            await anyio.to_thread.run_sync(script.write, sandbox.site, name, code)
            run = await sandbox.python(code, limit, last=True)
        return answers.script(run, script.path_of(name), name)

    async def command(
        self,
        meta: Meta,
        line: str,
        sandbox_id: str,
        timeout_s: float | None,
        *,
        background: bool,
    ) -> CallToolResult:
        """Run a line in the shell, or start it."""
        limit = self.limit(meta, timeout_s)
        async with self._turn(meta) as owner, self._held(sandbox_id, owner) as sandbox:
            if background:
                command_id, note = await sandbox.start_command(line)
                said = f"Command started with command_id: {command_id}"
                return answers.text(said, note, command_id=command_id, running=True)
            return answers.command(await sandbox.command(line, limit))

    async def output(self, meta: Meta, sandbox_id: str, command_id: str) -> CallToolResult:
        """Say what a command in the background has printed."""
        async with self._turn(meta) as owner, self._held(sandbox_id, owner) as sandbox:
            command = _command(sandbox, command_id)
            return answers.command(command.run(), command_id=command_id, running=command.running)

    async def stop(self, meta: Meta, sandbox_id: str, command_id: str) -> CallToolResult:
        """End a command in the background."""
        async with self._turn(meta) as owner, self._held(sandbox_id, owner) as sandbox:
            command = _command(sandbox, command_id)
            await sandbox.stop_command(command)
            return answers.command(command.run(), command_id=command_id, running=command.running)

    async def close(self, meta: Meta, sandbox_id: str) -> CallToolResult:
        """Close a sandbox."""
        async with self._turn(meta) as owner:
            _check(sandbox_id)
            await self.sandboxes.close(sandbox_id, owner)
        return answers.text(f"Sandbox {sandbox_id} closed", sandbox_id=sandbox_id)

    async def list(self, meta: Meta) -> CallToolResult:
        """List the caller's sandboxes."""
        async with self._turn(meta) as owner:
            lines = self.sandboxes.list(owner)
        return answers.text(texts.sandbox_list(lines), sandboxes=lines)

    async def upload(self, meta: Meta, sandbox_id: str, local: str, folder: str) -> CallToolResult:
        """Copy a local file into a sandbox."""
        async with self._turn(meta) as owner:
            _check(sandbox_id)
            return answers.text(await self.transfers.upload(owner, sandbox_id, local, folder))

    async def fetch(self, meta: Meta, sandbox_id: str, url: str, folder: str) -> CallToolResult:
        """Fetch a file from the Internet into a sandbox."""
        async with self._turn(meta) as owner:
            _check(sandbox_id)
            return answers.text(await self.transfers.fetch(owner, sandbox_id, url, folder))

    async def download(
        self, meta: Meta, sandbox_id: str, path: str, local: str | None
    ) -> CallToolResult:
        """Copy a file of a sandbox to the local ones."""
        async with self._turn(meta) as owner:
            _check(sandbox_id)
            return answers.text(await self.transfers.download(owner, sandbox_id, path, local))

    def limit(self, meta: Meta, timeout_s: float | None) -> TimeLimit:
        """Return how long a call may run."""
        return time_limit(meta, timeout_s, self._call_s)

    @asynccontextmanager
    async def _turn(self, meta: Meta) -> AsyncIterator[str]:
        """Hold a place among the running calls; every refusal leaves as what it is to the caller.

        Raises:
            MCPError: there is too much work.
            Refused: the tool refuses, and says why.
        """
        owner = str((meta or {}).get(OWNER, ""))
        try:
            async with self._turns.turn(owner):
                yield owner
        except TooMuch as error:
            data = {RETRY_AFTER: error.retry_after_s}
            raise MCPError(NOT_BEGUN, str(error), data) from None
        except Elsewhere as error:
            raise MCPError(NOT_BEGUN, str(error), {ELSEWHERE: True}) from None
        except NoWorkspace as error:
            raise Refused(str(error), "no_such_sandbox") from None
        except Refusal as error:
            raise Refused(str(error), "refused") from None
        except CannotRun as error:
            raise Refused(texts.not_run(error), "not_run") from None

    @asynccontextmanager
    async def _held(self, sandbox_id: str, owner: str) -> AsyncIterator[Sandbox]:
        _check(sandbox_id)
        async with self.sandboxes.held(sandbox_id, owner) as sandbox:
            yield sandbox


def time_limit(meta: Meta, asked_s: float | None = None, call_s: float = 60.0) -> TimeLimit:
    """Return how long code may run.

    Args:
        meta: The `_meta` of the call. The platform hands on a deadline only if the caller named
            one; whoever did not gets the default.
        asked_s: What the call's own argument says.
        call_s: The default.
    """
    deadline = (meta or {}).get(DEADLINE)
    wanted = min(asked_s or call_s, LONGEST_S)
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline > 0:
        return TimeLimit(wanted)
    margin = min(MARGIN_S, deadline * 0.3)
    longest = min(deadline - margin, LONGEST_S)
    return TimeLimit(min(asked_s, longest) if asked_s else longest, margin / 2)


def _check(sandbox_id: str) -> None:
    if sandbox_id in texts.THROW_AWAY:
        raise Refused(texts.not_valid(sandbox_id), "no_such_sandbox")


def _command(sandbox: Sandbox, command_id: str) -> Command:
    command = sandbox.commands.get(command_id)
    if command is None:
        raise Refused(texts.no_such_command(command_id), "no_such_command")
    return command
