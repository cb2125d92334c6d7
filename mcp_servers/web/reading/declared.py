"""What a page declares as its text in JSON-LD: for pages that only scripts would fill."""

from __future__ import annotations

import json
from typing import Any

from lxml.html import HtmlElement

_TEXTS = ("articleBody", "text", "reviewBody")
_MOST_VALUES = 5000
"""Most values that are looked at in one page."""


def body(root: HtmlElement) -> str:
    """Return the longest text that is declared; empty if there is none. `root` has its scripts."""
    longest = ""
    for script in root.iter("script"):
        if (script.get("type") or "").strip().lower() == "application/ld+json":
            for text in _texts(script.text or ""):
                longest = max(longest, text, key=len)
    return "\n\n".join(line.strip() for line in longest.splitlines() if line.strip())


def _texts(source: str) -> list[str]:
    try:
        waiting: list[Any] = [json.loads(source)]
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    for _ in range(_MOST_VALUES):
        if not waiting:
            break
        value = waiting.pop()
        if isinstance(value, dict):
            found += [value[name] for name in _TEXTS if isinstance(value.get(name), str)]
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return found
