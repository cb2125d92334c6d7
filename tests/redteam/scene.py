"""One attack's place: a Session of its own, a token of its own, and what was answered there."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.redteam import payloads
from tests.redteam.agent import Agent, Reply

if TYPE_CHECKING:
    from tests.redteam.arena import Arena


class NotRun(Exception):
    """The attack was not really tried, so it proves nothing."""


class Scene:
    """What one attack has at hand. Sandboxes that it opened are closed in the end."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.token = f"token{secrets.token_hex(8)}"
        self.agent = arena.agent(self.token)
        self.replies: list[Reply] = []
        self._opened: list[tuple[Agent, str]] = []
        self._sandbox: str | None = None

    @property
    def facts(self) -> dict[str, str | int]:
        """Where the canaries are, and this scene's token."""
        return {**self.arena.facts, "TOKEN": self.token}

    async def sandbox(self) -> str:
        """Return this scene's sandbox, opened when it is first asked for."""
        if self._sandbox is None:
            self._sandbox = await self.open()
        return self._sandbox

    async def open(self, agent: Agent | None = None) -> str:
        """Open one more sandbox, for another agent if one is named."""
        agent = agent or self.agent
        sandbox = await agent.create()
        self._opened.append((agent, sandbox))
        return sandbox

    async def python(
        self,
        code: str,
        sandbox: str | None = None,
        timeout_s: float = 20,
        agent: Agent | None = None,
    ) -> Reply:
        """Run an attack's code and keep the reply.

        Raises:
            NotRun: it did not begin, or it failed through its own fault.
        """
        text = payloads.python_prelude(self.facts) + payloads.guarded(code)
        place = sandbox or await self.sandbox()
        return self._kept(await (agent or self.agent).python(place, text, timeout_s))

    async def command(
        self,
        line: str,
        sandbox: str | None = None,
        timeout_s: float = 20,
        agent: Agent | None = None,
    ) -> Reply:
        """Run an attack's shell command and keep the reply.

        Raises:
            NotRun: it did not begin, or a program was missing.
        """
        text = payloads.guarded_command(line, self.facts)
        place = sandbox or await self.sandbox()
        reply = self._kept(await (agent or self.agent).command(place, text, timeout_s))
        if reply.fields.get("exit_code") == 127:
            raise NotRun(f"a program is missing: {reply.text[:500]}")
        return reply

    async def start(self, line: str, sandbox: str | None = None) -> Reply:
        """Start a shell command in the background and keep the reply."""
        text = payloads.guarded_command(line, self.facts)
        place = sandbox or await self.sandbox()
        reply = await self.agent.command(place, text, 20, background=True)
        if reply.is_error:
            raise NotRun(reply.raw[:500])
        return self.keep(reply)

    def keep(self, reply: Reply) -> Reply:
        """Keep a reply for the criteria, and return it."""
        self.replies.append(reply)
        return reply

    def _kept(self, reply: Reply) -> Reply:
        """Keep the reply to a payload.

        A call that was ended from outside (by a signal, a limit or its deadline) may have lost its
        output; that it began is then believed.
        """
        ended = reply.code == "call_timed_out" or reply.fields.get("error_kind") not in (
            None,
            "exception",
        )
        if not ended and payloads.BEGAN not in reply.raw:
            raise NotRun(f"no sign of a beginning: {reply.raw[:500]}")
        fault = payloads.fault_of_its_own(reply.stdout)
        if fault is not None:
            raise NotRun(f"the attack's own fault: {fault}")
        return self.keep(reply)

    def crash(self) -> str | None:
        """Return the evidence that something of the platform broke down, if it did."""
        for reply in self.replies:
            if reply.code in ("server_crashed", "node_lost", "internal_error", "server_error"):
                return f"the platform failed: {reply.raw[:300]}"
        return None

    async def end(self) -> None:
        """Close what was opened."""
        for agent, sandbox in self._opened:
            await agent.close(sandbox)


async def until(
    condition: Callable[[], Awaitable[bool] | bool], seconds: float, every_s: float = 0.05
) -> bool:
    """Return whether a condition became true within some seconds."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found or time.monotonic() > end:
            return bool(found)
        await asyncio.sleep(every_s)


def processes_with(token: str) -> list[int]:
    """Return the host's processes that have a token in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if token.encode() in line:
                found.append(int(entry.name))
    return found


def files_with(token: str, *folders: Path) -> list[Path]:
    """Return the files and folders beneath some folders that have a token in their name."""
    # Not by `rglob`, which fails when a folder is deleted under it.
    return [
        Path(place, name)
        for folder in folders
        for place, inner, files in os.walk(folder)
        for name in (*inner, *files)
        if token in name
    ]
