"""What is kept of each sandbox beside its workspace, so that its files outlive the server.

A sandbox's folder holds `record.json`, `home` and `tmp`. Whoever serves the sandbox holds a lock on
the record; its time of change is when the sandbox was last used. The folder of one that is over
holds the record alone, so that its owner can be told what became of it.

A sandbox that is thrown away after one call has no record: a lock on its folder says that somebody
uses it, or is about to, and without that it is deleted.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mcp_servers.sandbox.removal import remove

RECORD = "record.json"
_COMING = "record.coming"
_SIZE = 2048
"""Bytes of a record, so that a shorter one written over it leaves nothing of it."""
_WITHIN = ("home", "tmp")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_TICK_NS = 20_000_000
"""No kernel counts time in steps of more than half of that."""
_FINE_NS = 1_000_000
"""A file system whose times are multiples of that keeps coarser ones than the kernel gives it."""
_YOUNG_S = 60.0
"""Age of a folder that may not be locked yet, since it was made a moment ago."""


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
        lock: Descriptor of the locked record, or of the locked folder of one without.
        lasting: Whether there is a record.
    """

    def __init__(self, folder: Path, facts: Facts, lock: int, *, lasting: bool = True) -> None:
        self.folder = folder
        self.facts = facts
        self.lasting = lasting
        self._lock = lock
        self._times: list[tuple[int, int]] = []

    def touch(self) -> None:
        """Note that the sandbox is used now."""
        os.utime(self._lock)

    @property
    def expires(self) -> float:
        """When it expires, unless it is used before; in seconds since 1970."""
        return os.fstat(self._lock).st_mtime + self.facts.ttl_s

    def end(self, over: str) -> None:
        """Delete what the sandbox left; keep the record, if there is one, saying why it is over."""
        if not self.lasting:
            self.forget()
            return
        self.facts.over = over
        self._write()
        for name in _WITHIN:
            remove(self.folder / name)

    def forget(self) -> None:
        """Delete everything."""
        if self.lasting or not self._went_empty():
            remove(self.folder)
        self.close()

    def remember(self) -> None:
        """Remember how its folders are now, before anybody can change them.

        Nothing is remembered of those that were made a moment ago, or of which only whole seconds
        are known: a change of theirs could have the same time.
        """
        times = self._read_times()
        old = all(changed < time.time_ns() - _TICK_NS for changed, _ in times)
        fine = all(changed % _FINE_NS for changed, _ in times)
        self._times = times if old and fine else []

    def is_as_remembered(self) -> bool:
        """Whether nobody did anything to its folders since, such as put a file there or list them.

        The time of change tells, which is the kernel's alone: attributes and the times of others
        cannot be set without it.
        """
        return bool(self._times) and self._times == self._read_times()

    def spoil(self) -> None:
        """Have it not be as remembered any more: something may still run in it."""
        self._times = []

    def _read_times(self) -> list[tuple[int, int]]:
        try:
            found = [os.stat(name, dir_fd=self._lock, follow_symlinks=False) for name in _WITHIN]
        except OSError:
            return []
        return [(it.st_ctime_ns, it.st_atime_ns) for it in found]

    def close(self) -> None:
        """Let others have it."""
        _let_go(self._lock)
        self._lock = -1

    def _went_empty(self) -> bool:
        """Delete the folder if it holds nothing, as most do at last: no look into it is needed."""
        try:
            for name in _WITHIN:
                os.rmdir(name, dir_fd=self._lock)
            self.folder.rmdir()
        except OSError:
            return False
        return True

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

    def make(self, facts: Facts, user: int, *, lasting: bool = True) -> Record:
        """Make the folder of a new sandbox, whose files will be those of `user`.

        Args:
            facts: What is to be known of it.
            user: The user, and group.
            lasting: Whether it is to outlive this server, and so has to have a record.

        Raises:
            OSError: it cannot be made.
        """
        folder = self._folder(facts.id)
        folder.mkdir(mode=0o711)
        held = -1
        try:
            # Held before it has a record: nobody takes it for one that was left.
            held = os.open(folder, _FOLDER)
            fcntl.flock(held, fcntl.LOCK_EX)
            for name in _WITHIN:
                os.mkdir(name, mode=0o700, dir_fd=held)
                if user != os.geteuid():
                    os.chown(name, user, user, dir_fd=held)
            if not lasting:
                return Record(folder, facts, held, lasting=False)
            record = _recorded(folder, facts)
        except OSError:
            remove(folder)
            _let_go(held)
            raise
        _let_go(held)
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
        self._remove_unborn()
        return living

    def users(self) -> set[int]:
        """Return the users whose files are here, whoever serves them."""
        found = set()
        for home in self.root.glob("*/home"):
            with suppress(OSError):
                found.add(home.lstat().st_uid)
        return found

    def _left(self) -> Iterator[Record]:
        """Yield, now ours, each record that nobody has."""
        for folder in self.root.iterdir():
            record = self._take(folder)
            if record is not None:
                yield record

    def _remove_unborn(self) -> None:
        """Delete folders without a record whose server was killed, and those that it threw away."""
        for folder in self.root.iterdir():
            try:
                young = time.time() - folder.stat().st_mtime < _YOUNG_S
            except OSError:
                continue
            if not young and not (folder / RECORD).exists():
                with suppress(OSError):  # somebody holds it, or it is tried again
                    _remove_abandoned(folder)

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


def _recorded(folder: Path, facts: Facts) -> Record:
    """Write the record of a folder, and return it, locked before it can be found."""
    coming = os.open(folder / _COMING, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        record = Record(folder, facts, coming)
        fcntl.flock(coming, fcntl.LOCK_EX)
        record._write()
        os.rename(folder / _COMING, folder / RECORD)
    except OSError:
        os.close(coming)
        raise
    return record


def _remove_abandoned(folder: Path) -> None:
    """Delete a folder unless somebody holds it.

    Raises:
        OSError: somebody does, or it cannot be deleted.
    """
    held = os.open(folder, _FOLDER)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not (folder / RECORD).exists():  # it may have come until we held the folder
            remove(folder)
    finally:
        os.close(held)


def _let_go(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)


def _facts(data: bytes) -> Facts:
    return Facts(**json.loads(data))
