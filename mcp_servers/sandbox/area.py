"""Files beneath one folder: read, write, list, delete. All by descriptors, never again by path.

Whoever owns the folder may be hostile and change it at any time: only plain files with one name are
touched, and what is checked is the open file itself.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self

from mcp_servers.sandbox.beneath import Open, best_open
from mcp_servers.sandbox.paths import DRAFT

MAX_LISTED = 10_000

Room = Callable[[int, int], None]
"""Bounds what is kept in a folder: told of growth in bytes and files (folders count as such) before
it happens, and of what goes, in negative numbers. Refuses by a FileFault. Called in any thread."""


class FileFault(Exception):
    """A file cannot be had, or not be changed.

    Args:
        code: Stable, such as `not_found`.
        status: The HTTP status that says the same.
        text: What is wrong and what to do.
    """

    def __init__(self, code: str, status: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a folder's list. `kind` is `file`, `folder` or `other` (what is never touched)."""

    name: str
    kind: str
    size: int
    modified: float


class OpenFile:
    """A plain file that was opened for reading. `size` is that of the moment of opening."""

    def __init__(self, fd: int, found: os.stat_result) -> None:
        self._fd = fd
        self.size = found.st_size
        self.modified = found.st_mtime
        self.tag = f'"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"'

    def read(self, offset: int, most: int) -> bytes:
        """Return at most `most` bytes from `offset` on; none at the end."""
        return os.pread(self._fd, most, offset)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        os.close(self._fd)


class Draft:
    """A file that arrives, under a name of ours, until `commit`. Left uncommitted it is deleted."""

    def __init__(self, folder: int, fd: int, draft: str, name: str, room: Room) -> None:
        self._folder = folder
        self._fd = fd
        self._draft: str | None = draft
        self._name = name
        self._room = room
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            FileFault: there is no room for it.
        """
        self._room(len(data), 0)
        self._size += len(data)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise _fault(error, self._name) from None

    def commit(self) -> bool:
        """Give the file its name, in place of a plain file that has it; return whether one had.

        Raises:
            FileFault: something else has the name, or the draft was meddled with.
        """
        assert self._draft is not None
        try:
            replaced = _check_replaceable(self._folder, self._name)
            ours = os.fstat(self._fd)
            there = os.stat(self._draft, dir_fd=self._folder, follow_symlinks=False)
            if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
                raise _meddled(self._name)
            os.rename(self._draft, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            raise _fault(error, self._name) from None
        self._draft = None
        if replaced is None:
            return False
        self._room(-replaced, -1)
        return True

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; delete what was not committed."""
        if self._draft is not None:
            with suppress(OSError):
                os.unlink(self._draft, dir_fd=self._folder)
            self._room(-self._size, -1)
        os.close(self._fd)
        os.close(self._folder)


class Folder:
    """Everything beneath one folder.

    Args:
        fd: Descriptor of the folder; it stays the caller's.
        owner: User and group that new files and folders get; None for our own.
        open_beneath: How to open; None for the best that the machine allows.
        room: Bounds what is kept; None for no bound but the disk.
    """

    def __init__(
        self,
        fd: int,
        owner: tuple[int, int] | None = None,
        open_beneath: Open | None = None,
        room: Room | None = None,
    ) -> None:
        self._fd = fd
        self._owner = owner
        self._open = open_beneath or best_open()
        self._room = room or _boundless

    def open(self, names: Sequence[str]) -> OpenFile:
        """Open a plain file for reading.

        Raises:
            FileFault: there is none, or it is of another kind.
        """
        name = "/".join(names)
        try:
            fd = self._open(self._fd, names, os.O_RDONLY, 0)
        except OSError as error:
            raise _fault(error, name) from None
        try:
            found = os.fstat(fd)
            _check_plain(found, name)
            return OpenFile(fd, found)
        except BaseException:
            os.close(fd)
            raise

    def draft(self, names: Sequence[str]) -> Draft:
        """Begin a file; folders on the way are made.

        Raises:
            FileFault: something is in its way.
        """
        name = "/".join(names)
        draft = DRAFT + secrets.token_hex(8)
        try:
            folder = self._make_folders(names[:-1])
        except OSError as error:
            raise _fault(error, name) from None
        try:
            _check_replaceable(folder, names[-1])
            fd = self._create(draft, folder)
        except OSError as error:
            os.close(folder)
            raise _fault(error, name) from None
        except BaseException:
            os.close(folder)
            raise
        return Draft(folder, fd, draft, names[-1], self._room)

    def _create(self, draft: str, folder: int) -> int:
        """Return the descriptor of a new file, locked for as long as it is open.

        By the lock others see that a draft is still written, and that a killed server's is not.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._room(0, 1)
        try:
            fd = os.open(draft, flags, 0o644, dir_fd=folder)
        except OSError:
            self._room(0, -1)
            raise
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if self._owner is not None:
            os.fchown(fd, *self._owner)
        return fd

    def list(self, names: Sequence[str]) -> list[Item]:
        """Return what is in a folder, by name; at most MAX_LISTED items.

        Raises:
            FileFault: there is none.
        """
        name = "/".join(names)
        try:
            fd = self._open(self._fd, names, os.O_RDONLY | os.O_DIRECTORY, 0)
        except OSError as error:
            raise _fault(error, name) from None
        try:
            with os.scandir(fd) as entries:
                shown = (entry.name for entry in entries if not entry.name.startswith(DRAFT))
                found = list(islice(_items(fd, shown), MAX_LISTED))
        finally:
            os.close(fd)
        return sorted(found, key=lambda item: item.name)

    def delete(self, names: Sequence[str]) -> None:
        """Delete a file of any kind (a link, never what it leads to), or an empty folder.

        Raises:
            FileFault: there is none, or the folder is not empty.
        """
        name = "/".join(names)
        try:
            folder = self._open(self._fd, names[:-1], os.O_RDONLY | os.O_DIRECTORY, 0)
        except OSError as error:
            raise _fault(error, name) from None
        try:
            found = os.stat(names[-1], dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                os.rmdir(names[-1], dir_fd=folder)
            else:
                os.unlink(names[-1], dir_fd=folder)
        except OSError as error:
            raise _fault(error, name) from None
        finally:
            os.close(folder)
        self._room(0 if stat.S_ISDIR(found.st_mode) else -found.st_size, -1)

    def _make_folders(self, names: Sequence[str]) -> int:
        """Return the descriptor of a folder beneath ours; it and those on the way are made."""
        at = self._open(self._fd, (), os.O_RDONLY | os.O_DIRECTORY, 0)
        for name in names:
            try:
                at_below = self._enter(at, name)
            finally:
                os.close(at)
            at = at_below
        return at

    def _enter(self, folder: int, name: str) -> int:
        try:
            os.mkdir(name, 0o755, dir_fd=folder)
            made = True
        except FileExistsError:
            made = False
        if made:
            self._count_folder(folder, name)
        below = self._open(folder, (name,), os.O_RDONLY | os.O_DIRECTORY, 0)
        if made and self._owner is not None:
            os.fchown(below, *self._owner)
        return below

    def _count_folder(self, folder: int, name: str) -> None:
        try:
            self._room(0, 1)
        except FileFault:
            with suppress(OSError):
                os.rmdir(name, dir_fd=folder)
            raise


def _boundless(size: int, files: int) -> None:
    """Have room for everything."""


def _items(folder: int, names: Iterable[str]) -> Iterator[Item]:
    for name in names:
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        kind = "file" if plain else "folder" if stat.S_ISDIR(found.st_mode) else "other"
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        yield Item(shown, kind, found.st_size if plain else 0, found.st_mtime)


def _check_plain(found: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        text = f"{name!r} is a folder. To list it, end the path with a slash."
        raise FileFault("is_a_folder", 409, text)
    if not stat.S_ISREG(found.st_mode):
        raise _not_plain(name, "a pipe, socket or device")
    if found.st_nlink != 1:
        raise _not_plain(name, "a hard link: the same file has other names")


def _check_replaceable(folder: int, name: str) -> int | None:
    """Return the size of the plain file that has the name, if any has; others are refused."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        raise _not_plain(name, "a symlink")
    _check_plain(found, name)
    return found.st_size


def _not_plain(name: str, what: str) -> FileFault:
    return FileFault("not_a_plain_file", 409, f"{name!r} is {what}; only plain files are moved.")


def _meddled(name: str) -> FileFault:
    return FileFault("changed_meanwhile", 409, f"{name!r} was changed while it was written.")


def _fault(error: OSError, name: str) -> FileFault:
    """Return what a failure of the system means to whoever named the file."""
    match error.errno:
        case errno.ENOENT:
            return FileFault("not_found", 404, f"There is no file {name!r}.")
        case errno.ELOOP | errno.EXDEV:
            return _not_plain(name, "a symlink, or behind one")
        case errno.ENOTDIR:
            return _not_plain(name, "behind something that is no folder")
        case errno.ENXIO | errno.ENODEV:
            return _not_plain(name, "a pipe, socket or device")
        case errno.ENOTEMPTY | errno.EEXIST:
            return FileFault("folder_not_empty", 409, f"The folder {name!r} is not empty.")
        case errno.EISDIR:
            return FileFault("is_a_folder", 409, f"{name!r} is a folder.")
        case errno.EACCES | errno.EPERM:
            return FileFault("not_permitted", 403, f"The permissions of {name!r} do not allow it.")
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return FileFault("no_room", 507, "There is no room left for files.")
    return FileFault("file_error", 500, f"{name!r}: {error.strerror}.")
