"""What links look like to a model, and which of them nobody gets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
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
            host means its subdomains too.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        parts = (pattern.strip().lower().partition("/") for pattern in patterns)
        self._patterns = [(host, path.strip("/")) for host, _, path in parts if host]

    def blocks(self, link: str) -> bool:
        """Whether a link falls under a pattern, however it is written."""
        try:
            parsed = urlsplit(link.strip())
            host = (parsed.hostname or "").rstrip(".")
        except ValueError:
            return False
        path = re.sub("/+", "/", unquote(unquote(parsed.path))).strip("/").lower()
        return any(
            (host == blocked or host.endswith(f".{blocked}"))
            and (not start or path == start or path.startswith(f"{start}/"))
            for blocked, start in self._patterns
        )
