"""What a path that a stranger wrote means beneath a folder. Pure: no file is looked at."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

HOME = "/home/user"
"""How code in a sandbox names its workspace."""

MAX_NAME = 255
MAX_PATH = 2048
MAX_DEPTH = 32
DRAFT = ".agentdock-draft-"
"""What files are named while they arrive; nobody may name one so."""


class BadPath(Exception):
    """The path cannot name a file here; the message says why."""


def split(path: str) -> tuple[str, ...]:
    """Return the names on the way to a file, each a plain one; none for the folder itself.

    Raises:
        BadPath: it leads out, or cannot be a file's.
    """
    if len(path) > MAX_PATH:
        raise BadPath(f"The path is longer than {MAX_PATH} characters.")
    names = tuple(name for name in path.split("/") if name not in ("", "."))
    if len(names) > MAX_DEPTH:
        raise BadPath(f"The path goes through more than {MAX_DEPTH} folders.")
    for name in names:
        _check(name)
    return names


def split_file(path: str) -> tuple[str, ...]:
    """Return the names on the way to a file, at least one.

    Raises:
        BadPath: as `split`, or it names a folder.
    """
    names = split(path)
    if not names or path.endswith("/"):
        raise BadPath(f"{path!r} names a folder; name a file.")
    return names


def in_sandbox(path: str) -> tuple[str, ...]:
    """Return the names from a sandbox's workspace on: /home/user/a and a are the same file.

    Raises:
        BadPath: it is elsewhere in the sandbox, or see `split`.
    """
    if not path.startswith("/"):
        return split(path)
    names = split(path)
    home = tuple(HOME.strip("/").split("/"))
    if names[: len(home)] != home:
        raise BadPath(f"Only files beneath {HOME} can be moved, which {path!r} is not.")
    return names[len(home) :]


def name_in_url(url: str) -> str:
    """Return the name for what a URL leads to: its last part, if that can be a name."""
    try:
        name = PurePosixPath(unquote(urlsplit(url).path)).name
        _check(name)
    except (ValueError, BadPath):
        return "download"
    return name


def _check(name: str) -> None:
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        raise BadPath("The path holds half a character.") from None
    if name in ("", ".."):
        raise BadPath("The path goes up ('..'), and nothing above the folder can be reached.")
    if "/" in name or any(ord(letter) < 32 or letter == "\x7f" for letter in name):
        raise BadPath("The path holds a control character.")
    if size > MAX_NAME:
        raise BadPath(f"A name in the path is longer than {MAX_NAME} bytes.")
    if name.startswith(DRAFT):
        raise BadPath(f"Names that begin with {DRAFT} are the platform's own.")
