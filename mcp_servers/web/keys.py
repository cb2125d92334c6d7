"""The keys and passwords of settings, which are in nothing that callers see. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
from pydantic import BaseModel, SecretStr

SHORTEST_KEY = 8
"""Shorter words are no keys, and would be found in every other text."""

HIDDEN = "***"


class Keys:
    """Hides keys in what others say: some services quote what they were sent.

    Args:
        keys: What to hide.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        # The longest first: one key may begin with another.
        found = sorted({key for key in keys if len(key) >= SHORTEST_KEY}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, found))) if found else None

    def hide(self, said: Any) -> Any:
        """Return a text, or any JSON value, without keys."""
        if self._pattern is None:
            return said
        if isinstance(said, str):
            return self._pattern.sub(HIDDEN, said)
        if isinstance(said, dict):
            return {self.hide(name): self.hide(value) for name, value in said.items()}
        if isinstance(said, list):
            return [self.hide(value) for value in said]
        return said


def keys_of(*settings: BaseModel) -> Iterator[str]:
    """Yield the secrets of settings, and the passwords in their addresses."""
    for group in settings:
        for name in type(group).model_fields:
            value = getattr(group, name)
            secret = isinstance(value, SecretStr)
            text = value.get_secret_value() if secret else value
            if not isinstance(text, str):
                continue
            if "://" in text:
                yield from _passwords(text)
            elif secret:
                yield text.strip()


def _passwords(url: str) -> Iterator[str]:
    """Yield the password of a URL: as it is written there, as it is meant, and as it is sent."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return
    if not parsed.password:
        return
    yield parsed.password
    yield base64.b64encode(f"{parsed.username}:{parsed.password}".encode()).decode()
    yield parsed.userinfo.decode("ascii").partition(":")[2]
