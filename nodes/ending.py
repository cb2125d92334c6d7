"""Ends a tool server's process in the order that MCP asks for, then everything that it left."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress

from nodes.channel import LAST_WORDS_S, Channel
from nodes.guardian import sweep

log = logging.getLogger(__name__)

REAP_S = 2.0


async def end_process(channel: Channel, marker: str, grace_s: float) -> None:
    """Close its stdin, then SIGTERM, then SIGKILL, then whatever carries its marker.

    Args:
        channel: The conversation with it, perhaps with a process that never started.
        marker: By which its processes are known.
        grace_s: Seconds between each step and the next.
    """
    session = None
    if channel.is_open:
        session = channel.pid
        channel.close_stdin()
        for step in (signal.SIGTERM, signal.SIGKILL):
            if await _happens(channel.exited, grace_s):
                break
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(session, step)
        if not await _happens(channel.exited, REAP_S):
            log.error("tool server %s: process %d cannot be ended", channel.name, session)
    await _sweep(channel.name, marker, session)
    if channel.is_open:
        await _happens(channel.closed, LAST_WORDS_S)
        channel.close()


def end_group(leader: int) -> None:
    """Kill a process that leads its own group, and everybody in it."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


async def _sweep(name: str, marker: str, session: int | None) -> None:
    try:
        left = await asyncio.to_thread(sweep, marker, session)
    except (OSError, RuntimeError):
        # No descriptor or no thread was to be had. The guardian sweeps again at the node's end.
        log.exception("tool server %s: cannot look for what it left", name)
    else:
        if left:
            log.warning("tool server %s left %d processes; killed", name, left)


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await event.wait()
    return event.is_set()
