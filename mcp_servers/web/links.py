"""What links look like to a model, and which of them nobody gets. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

import httpx

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LAYERS = 10
_RESERVED = frozenset(":/?#[]@!$&'()*+,;=% ")
"""Characters that mean something else when they are decoded (RFC 3986), and the space."""


def readable(link: str) -> str:
    """Return a link with its percent escapes decoded, but for those that keep it one link."""
    return _ESCAPES.sub(lambda match: _decoded(match[0]), link)


def _decoded(escapes: str) -> str:
    try:
        letters = bytes.fromhex(escapes.replace("%", "")).decode("utf-8")
    except UnicodeDecodeError:
        return escapes
    return "".join(
        letter if letter.isprintable() and letter not in _RESERVED else _escaped(letter)
        for letter in letters
    )


def _escaped(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


class BlockedLinks:
    """Links that are neither shown nor read.

    Args:
        patterns: Each a host, or a host with the beginning of a path: `example.com/private`. A
            host means its subdomains too, and all of its ports.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        bare = (_SCHEME.sub("", pattern.strip()) for pattern in patterns)
        parts = (pattern.partition("/") for pattern in bare)
        self._patterns = [
            (named, _resolved(_plain(path)))
            for host, _, path in parts
            if (named := _host(host.partition(":")[0]))
        ]

    def blocks(self, link: str) -> bool:
        """Whether a link falls under a pattern, however it is written."""
        try:
            parsed = urlsplit(link.strip())
            host = _host(parsed.hostname or "")
        except ValueError:
            return False
        written = _plain(parsed.path)
        # Servers differ in whether they follow dots: both readings count.
        paths = {written, _resolved(written)}
        return any(
            (host == blocked or host.endswith(f".{blocked}"))
            and any(not start or f"{path}/".startswith(f"{start}/") for path in paths)
            for blocked, start in self._patterns
        )


def _host(text: str) -> str:
    """Return the name of a host as it is looked up."""
    name = _unescaped(text).strip().lower().rstrip(".")
    try:
        return httpx.URL(scheme="https", host=name).raw_host.decode("ascii").rstrip(".")
    except (httpx.InvalidURL, ValueError):
        return name


def _plain(path: str) -> str:
    """Return a path without escapes and needless slashes, in small letters."""
    return re.sub(r"[/\\]+", "/", _unescaped(path)).strip("/").lower()


def _resolved(path: str) -> str:
    """Return where a path leads when its dots are followed."""
    return posixpath.normpath(f"/{path}").strip("/")


def _unescaped(text: str) -> str:
    """Decode percent escapes, also escaped ones."""
    for _ in range(_LAYERS):
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    return text
