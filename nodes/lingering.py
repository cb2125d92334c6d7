"""Tool servers that were replaced and still hold what handles name: asked until those expire."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from nodes.channel import Reply
from nodes.files_socket import FilesSocket
from nodes.unit import Unit
from wire.errors import Overloaded, PlatformError, ServerUnavailable
from wire.models import ServerState

ELSEWHERE = "agentdock/elsewhere"
"""In the `data` of a JSON-RPC error: what the call is about is held by a process before this one,
and nothing ran."""

RETRY_AFTER = "agentdock/retry_after_s"
"""In the `data` of a JSON-RPC error: there is too much work, nothing ran, and it may be asked again
after so many seconds."""

MOST = 4
LOOK_S = 1.0


class Lingering:
    """The former units of one plug, the last one first."""

    def __init__(self) -> None:
        self._used: dict[Unit, float] = {}

    async def ask(self, params: bytes, timeout_s: float, owner: str | None) -> Reply | None:
        """Return the reply of the unit that holds what the call is about; None if none does.

        Raises:
            PlatformError: see `Unit.request`.
        """
        for unit in reversed(list(self._used)):
            if unit.state is not ServerState.READY:
                continue
            reply = await unit.request(params, timeout_s, owner)
            if not is_elsewhere(reply):
                if unit in self._used:
                    self._used[unit] = time.monotonic()
                return reply
        return None

    def files(self) -> list[FilesSocket]:
        """Return where those serve files that do."""
        return [unit.files for unit in self._used if unit.files is not None]

    async def keep(self, unit: Unit) -> None:
        """Keep a unit until it was not asked for its `linger_s`, has ended, or others followed."""
        self._used[unit] = time.monotonic()
        try:
            while unit.state is ServerState.READY and not self._is_over(unit):  # noqa: ASYNC110 (time)
                await asyncio.sleep(min(LOOK_S, unit.entry.linger_s))
        finally:
            del self._used[unit]

    def _is_over(self, unit: Unit) -> bool:
        unused_s = time.monotonic() - self._used[unit]
        followed_by = list(reversed(self._used)).index(unit)
        return not unit.in_flight and (unused_s >= unit.entry.linger_s or followed_by >= MOST)


def is_elsewhere(reply: Reply) -> bool:
    """Whether a tool server said that another process holds what the call is about."""
    return _data(reply).get(ELSEWHERE) is True


def refusal(server: str, reply: Reply) -> PlatformError | None:
    """Return the error of a call that a tool server did not begin; None if it did."""
    data = _data(reply)
    retry_after_s = data.get(RETRY_AFTER)
    said = str(reply.message.get("error", {}).get("message", "")) if data else ""
    if isinstance(retry_after_s, int | float) and not isinstance(retry_after_s, bool):
        text = f"Tool server {server!r} has too much work: {said}"
        return Overloaded(text, retry_after_s=min(max(retry_after_s, 0.1), 60.0))
    if data.get(ELSEWHERE) is True:
        text = f"What the call is about is held by a process of {server!r} that is ending: {said}"
        return ServerUnavailable(text, retry_after_s=1.0)
    return None


def _data(reply: Reply) -> dict[str, Any]:
    error = reply.message.get("error")
    data = error.get("data") if isinstance(error, dict) else None
    return data if isinstance(data, dict) else {}
