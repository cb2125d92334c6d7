"""What makes this manager the only one on its data folder: the lock, and the secret kept there."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

LOCK = "manager.lock"
SECRET = "secret"


class AlreadyRunning(Exception):
    """Another manager uses the data folder; the text says which."""


class InstanceLock:
    """Held by the one manager on a data folder; the kernel frees it however the manager ends.

    Args:
        data_dir: The folder; it is created if it does not exist.
        url: Where this manager listens, for those who come second.

    Raises:
        AlreadyRunning: another manager holds it.
        OSError: the folder cannot be used.
    """

    def __init__(self, data_dir: Path, url: str) -> None:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor: int | None = os.open(
            data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 1000).decode(errors="replace").strip()
            self.release()
            raise AlreadyRunning(f"AgentDock is already running ({holder or 'starting'})") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"pid {os.getpid()}, {url}".encode(), 0)

    def release(self) -> None:
        """Let another manager start. Safe to call twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def kept_secret(data_dir: Path) -> str:
    """Return the secret kept in the data folder; it is made at first use, for its owner only.

    Raises:
        OSError: it can be neither read nor made.
    """
    path = data_dir / SECRET
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        kept = path.read_text().strip()
        if not kept:
            raise OSError(f"{path} is empty; delete it") from None
        return kept
    made = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w") as file:
        file.write(made + "\n")
    return made
