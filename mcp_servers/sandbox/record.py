"""What is kept of each sandbox beside its workspace, so that its files outlive the server.

A sandbox's folder holds `record.json`, `home` and `tmp`. Whoever serves the sandbox holds a lock on
the record; its time of change is when the sandbox was last used. The folder of one that is over
holds the record alone, so that its owner can be told what became of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mcp_servers.sandbox.removal import remove

RECORD = "record.json"
_COMING = "record.coming"
_SIZE = 2048
"""Bytes of a record, so that a shorter one written over it leaves nothing of it."""


@dataclass(slots=True)
class Facts:
    """What a record says.

    `over` is empty, or why the sandbox is over: `expired`, `flooded` or `closed`.
    """

    id: str
    owner: str
    ttl_s: float
    number: int
    created: float
    over: str = ""


class Record:
    """A sandbox's folder, held by us.

    Args:
        folder: The folder.
        facts: What its record says.
        lock: Descriptor of the locked record.
    """

    def __init__(self, folder: Path, facts: Facts, lock: int) -> None:
        self.folder = folder
        self.facts = facts
        self._lock = lock

    def touch(self) -> None:
        """Note that the sandbox is used now."""
        os.utime(self._lock)

    @property
    def expires(self) -> float:
        """When it expires, unless it is used before; in seconds since 1970."""
        return os.fstat(self._lock).st_mtime + self.facts.ttl_s

    def end(self, over: str) -> None:
        """Delete what the sandbox left; keep the record, saying why it is over."""
        self.facts.over = over
        self._write()
        for name in ("home", "tmp"):
            remove(self.folder / name)

    def forget(self) -> None:
        """Delete everything."""
        remove(self.folder)
        self.close()

    def close(self) -> None:
        """Let others have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write(self) -> None:
        """Write the facts within the file: another one would not be locked."""
        data = json.dumps(asdict(self.facts)).encode()
        os.pwrite(self._lock, data.ljust(_SIZE), 0)
        os.fsync(self._lock)


class Records:
    """The folders of all sandboxes, of this server and of those before and beside it.

    Args:
        root: Holds them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        root.chmod(0o711)

    def make(self, facts: Facts, user: int) -> Record:
        """Make the folder of a new sandbox, whose files will be those of `user`.

        Raises:
            OSError: it cannot be made.
        """
        folder = self._folder(facts.id)
        folder.mkdir(mode=0o711)
        try:
            coming = os.open(folder / _COMING, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            record = Record(folder, facts, coming)
            # Locked before it can be found: nobody else takes it for one that was left.
            fcntl.flock(coming, fcntl.LOCK_EX)
            record._write()
            for name in ("home", "tmp"):
                (folder / name).mkdir(mode=0o700)
                if user != os.geteuid():
                    os.chown(folder / name, user, user)
            os.rename(folder / _COMING, folder / RECORD)
        except OSError:
            remove(folder)
            raise
        return record

    def find(self, sandbox_id: str) -> Record | None:
        """Return a sandbox's record, now ours; None if there is none, or another server has it."""
        return self._take(self._folder(sandbox_id))

    def owner_elsewhere(self, sandbox_id: str) -> str | None:
        """Return the owner of a living sandbox that another server serves; None if there is none.

        To be asked after `find`, which returned None.
        """
        try:
            facts = _facts((self._folder(sandbox_id) / RECORD).read_bytes())
        except (OSError, ValueError, TypeError):
            return None
        return None if facts.over else facts.owner

    def sweep(self, keep_s: float) -> list[Record]:
        """Bring to an end what expired and nobody serves; forget what has long been over.

        Returns:
            The records of sandboxes that live and that nobody serves. They are ours now.
        """
        living = []
        for record in self._left():
            late = time.time() - record.expires
            try:
                if not record.facts.over and late <= 0:
                    living.append(record)
                    continue
                if not record.facts.over:
                    record.end("expired")
                elif late > keep_s:
                    record.forget()
            except OSError:
                pass  # it is tried again with the next sweep
            record.close()
        self._remove_unborn(keep_s)
        return living

    def numbers(self) -> set[int]:
        """Return the numbers that living sandboxes have, whoever serves them."""
        found = set()
        for path in self.root.glob(f"*/{RECORD}"):
            try:
                facts = _facts(path.read_bytes())
            except (OSError, ValueError, TypeError):
                continue
            if not facts.over:
                found.add(facts.number)
        return found

    def _left(self) -> Iterator[Record]:
        """Yield, now ours, each record that nobody has."""
        for folder in self.root.iterdir():
            record = self._take(folder)
            if record is not None:
                yield record

    def _remove_unborn(self, keep_s: float) -> None:
        """Delete folders whose server was killed before their record was there."""
        for folder in self.root.iterdir():
            try:
                old = time.time() - folder.stat().st_mtime > keep_s
            except OSError:
                continue
            if old and not (folder / RECORD).exists():
                remove(folder)

    def _take(self, folder: Path) -> Record | None:
        try:
            lock = os.open(folder / RECORD, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Record(folder, _facts(os.pread(lock, 65536, 0)), lock)
        except (OSError, ValueError, TypeError):
            os.close(lock)
            return None

    def _folder(self, sandbox_id: str) -> Path:
        """Return a sandbox's folder: no id, whatever is in it, names another site."""
        return self.root / hashlib.sha256(sandbox_id.encode(errors="replace")).hexdigest()[:32]


def _facts(data: bytes) -> Facts:
    return Facts(**json.loads(data))
