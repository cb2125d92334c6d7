"""The folder of one run of the browser, and the pipe by which its end is asked for and seen."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

import anyio

from mcp_servers.web.browsing import keeper, launcher

PREFIX = "agentdock-browser-"
END_S = 5.0
YOUNG_S = 60.0
KEPT = (
    *("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "FONTCONFIG_PATH"),
    *("PW_LANG_NAME", "PW_LANG_NAME_VERSION", "PW_CLI_DISPLAY_VERSION"),
)
"""Variables that the browser gets; keys and passwords of the server are not among them."""


class Home:
    """A folder with a place for temporary files and two programs: `node` and `chromium`.

    The keeper, which runs as `node`, deletes it when nothing is left that was started there.

    Args:
        executable: Path of Chromium.
        memory_bytes: Memory beyond which the keeper kills the largest page.
    """

    def __init__(self, executable: str, memory_bytes: int) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.path.chmod(0o711)
        (self.path / "tmp").mkdir(0o700)
        kept = " ".join(f'${{{name}+"{name}=${name}"}}' for name in KEPT)
        self.node = self._program(
            "node", f"env -i {kept}", keeper.__file__, str(self.path), str(memory_bytes)
        )
        self.chromium = self._program("chromium", "", launcher.__file__, executable)
        os.mkfifo(self.path / keeper.LIFE, 0o600)
        # Reading and writing: so it opens at once, and nobody else's end is awaited.
        self._life = os.open(self.path / keeper.LIFE, os.O_RDWR)

    def standing(self) -> str:
        """Return as which user Chromium was started, and whether in its own sandbox."""
        try:
            return (self.path / "tmp" / launcher.STANDING).read_text()
        except OSError:
            return "in an unknown way"

    async def gone(self) -> None:
        """Let go of the keeper and wait until it has ended everything and deleted the folder."""
        os.close(self._life)
        folder = anyio.Path(self.path)
        with anyio.move_on_after(END_S):
            while await folder.exists():  # noqa: ASYNC110 (who deletes it is another process)
                await anyio.sleep(0.02)
            return
        # No keeper came to be, or it was killed; then what it started died with it.
        shutil.rmtree(self.path, ignore_errors=True)

    def _program(self, name: str, before: str, *command: str) -> Path:
        path = self.path / name
        words = shlex.join([sys.executable, "-I", "-S", *command])
        path.write_text(f'#!/bin/sh\nexec {before} {words} "$@"\n')
        path.chmod(0o700)
        return path


def sweep() -> None:
    """Delete folders whose server and keeper were both killed: nobody reads their pipe."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if folder.stat().st_mtime < time.time() - YOUNG_S:
                os.close(os.open(folder / keeper.LIFE, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno == errno.ENXIO:
                shutil.rmtree(folder, ignore_errors=True)
