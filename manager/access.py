"""Keys, roles and the anonymous caller: who presents what, and what that lets them do."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from wire.errors import Unauthorized
from wire.faces.caller import Caller

MIN_KEY = 16
RESERVED_NAMES = frozenset({"anonymous", "manager", "node"})

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KEY = re.compile(r"[!-+\--~]+")
"""What a key may hold: visible ASCII without the comma that separates keys."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key: the name that its owner's things carry, what it may do, and the key itself."""

    name: str
    role: Literal["agent", "admin"]
    key: str = field(repr=False)


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """Read keys of the form `name:role:key`, separated by commas or line ends.

    Raises:
        ValueError: saying which entry is wrong, by its place or name; never showing a key.
    """
    entries = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    keys = [_parse_key(place, entry) for place, entry in enumerate(entries, start=1)]
    for what, values in (("name", [k.name for k in keys]), ("key", [k.key for k in keys])):
        if len(set(values)) != len(values):
            raise ValueError(f"two entries have the same {what}")
    return tuple(keys)


def _parse_key(place: int, entry: str) -> ApiKey:
    name, _, rest = entry.partition(":")
    role, _, key = rest.partition(":")
    if not key:
        raise ValueError(f"entry {place} is not of the form name:role:key")
    if not _NAME.fullmatch(name):
        raise ValueError(f"entry {place}: a name is made of a-z, 0-9, dash and underscore")
    if name in RESERVED_NAMES:
        raise ValueError(f"entry {place}: the name {name} is the platform's own; choose another")
    if len(key) < MIN_KEY or not _KEY.fullmatch(key):
        raise ValueError(f"the key of {name} needs {MIN_KEY} or more visible ASCII characters")
    if role == "agent":
        return ApiKey(name, "agent", key)
    if role == "admin":
        return ApiKey(name, "admin", key)
    raise ValueError(f"the role of {name} must be agent or admin")


class Access:
    """Knows every key by its digest.

    The digests are salted anew in each process, so how long a look-up takes tells nothing about a
    key; what was looked up is then compared in constant time.

    Args:
        keys: The keys of agents and administrators.
        secret: AGENTDOCK_SECRET, which nodes present.
        anonymous: Who a caller without a key is; None refuses such callers.
    """

    def __init__(self, keys: Sequence[ApiKey], secret: str, anonymous: Caller | None) -> None:
        self._salt = secrets.token_bytes(16)
        self._anonymous = anonymous
        self._callers: dict[bytes, tuple[bytes, Caller]] = {}
        for key in keys:
            self._add(key.key, Caller(key.name, admin=key.role == "admin"))
        self._add(secret, Caller("node", peer=True))

    def authenticate(self, token: str | None) -> Caller:
        """Return who presents `token`; None means that nothing was presented.

        Raises:
            Unauthorized: no key where one is needed, or one that is not known.
        """
        if token is None:
            if self._anonymous is None:
                raise Unauthorized("Send a key: Authorization: Bearer <key>, or X-API-Key: <key>.")
            return self._anonymous
        digest = self._digest(token)
        known, caller = self._callers.get(digest, (b"", None))
        if caller is None or not hmac.compare_digest(known, digest):
            raise Unauthorized("This key is not known here.")
        return caller

    def _add(self, token: str, caller: Caller) -> None:
        digest = self._digest(token)
        self._callers[digest] = (digest, caller)

    def _digest(self, token: str) -> bytes:
        return hashlib.sha256(self._salt + token.encode("utf-8", "surrogatepass")).digest()


def anonymous_caller(*, allowed: bool, loopback: bool, keys: bool) -> Caller | None:
    """Return who a caller without a key is, or None if such callers are refused.

    On loopback without keys it is the person at the machine, who administers; anywhere else it is
    an agent at most.
    """
    return Caller("anonymous", admin=loopback and not keys) if allowed else None
