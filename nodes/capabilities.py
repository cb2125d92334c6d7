"""What this machine has that others may lack: each capability is tried, not only looked for."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress

from nodes.ending import end_group

log = logging.getLogger(__name__)

BROWSER = "browser"
BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
PROBE_S = 10.0


async def probe(
    environ: Mapping[str, str], browser: str | None = None, probe_s: float = PROBE_S
) -> list[str]:
    """Return the capabilities of this machine: `browser` if a Chromium is there and starts.

    Args:
        environ: The environment that tool servers get; its PATH counts.
        browser: The path of the only Chromium that counts; None for the usual names.
        probe_s: Seconds that a program may take to say its version.
    """
    names = (browser,) if browser else BROWSERS
    paths = (shutil.which(name, path=environ.get("PATH", "")) for name in names)
    for path in filter(None, paths):
        if await _starts(path, environ, probe_s):
            return [BROWSER]
        log.warning("%s is there, but does not say its version: no browser on this node", path)
    return []


async def _starts(path: str, environ: Mapping[str, str], probe_s: float) -> bool:
    """Whether a program says its version in time; it is ended in any case, with what it started."""
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            path,
            "--version",
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    )
    try:
        # Shielded: who is cancelled while it starts must still be able to end it.
        process = await asyncio.shield(starting)
        async with asyncio.timeout(probe_s):
            return await process.wait() == 0
    except (OSError, TimeoutError):
        return False
    finally:
        with suppress(OSError):
            process = await starting
            if process.returncode is None:
                end_group(process.pid)
                await process.wait()
