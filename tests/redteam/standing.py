"""An arena that stands for all tests of a module, in an event loop that they take turns in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.redteam.arena import Arena, Entry, arena
from tests.redteam.attack import Attack


class Standing:
    """An arena for tests that are no coroutines, so that each attack is a test of its own."""

    def __init__(self, runner: asyncio.Runner, place: Arena) -> None:
        self._runner = runner
        self.arena = place

    def evidence(self, attack: Attack) -> str | None:
        """Carry out an attack and return the evidence of a breach, or None."""
        return self._runner.run(self.arena.carry_out(attack))

    def created(self) -> dict[str, Any]:
        """Return what the sandbox server says of a new sandbox, in fields."""

        async def create() -> dict[str, Any]:
            agent = self.arena.agent("asks")
            reply = await agent.call("create_sandbox", {})
            await agent.close(reply.text.partition("sandbox_id: ")[2].split()[0])
            return reply.fields

        return self._runner.run(create())


@contextmanager
def standing(folder: Path, entry: Entry) -> Iterator[Standing]:
    """Have an arena with the sandbox of this profile entry."""
    with asyncio.Runner() as runner:
        place = arena(folder, entry)
        try:
            yield Standing(runner, runner.run(place.__aenter__()))
        finally:
            runner.run(place.__aexit__(None, None, None))
