"""Results in Serper's shape, whoever found them. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mcp_servers.web.links import BlockedLinks, readable

PARTS = (
    "searchParameters",
    "knowledgeGraph",
    "answerBox",
    "peopleAlsoAsk",
    "relatedSearches",
)
"""What a payload may hold beside `organic`; everything else a provider says is left out."""

LINK = ("http://", "https://")

_TAG = re.compile(r"<[^>]*>")


def result(title: Any, link: Any, snippet: Any, date: Any = None, **more: Any) -> dict[str, Any]:
    """Return one organic result, without what is missing and without markup."""
    fields = {
        "title": plain(title),
        "link": str(link or ""),
        "snippet": plain(snippet),
        "date": plain(date) or None,
        **more,
    }
    return {name: value for name, value in fields.items() if value is not None}


def organic(results: Iterable[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return results that have a link, at most so many, each with its position from 1."""
    linked = [found for found in results if _is_link(found["link"])]
    return [{**found, "position": place} for place, found in enumerate(linked[:most], 1)]


def plain(text: Any) -> str:
    """Return a text without tags and entities, as far as it is one."""
    if not isinstance(text, str):
        return ""
    return " ".join(html.unescape(_TAG.sub("", text)).split())


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is taken out of every payload.

    Args:
        blocked: Links that nobody gets.
        snippets: Whether to take the snippets out.
        knowledge_graph: Whether to take `knowledgeGraph` out.
        answer_box: Whether to take `answerBox` out.
    """

    blocked: BlockedLinks
    snippets: bool = False
    knowledge_graph: bool = False
    answer_box: bool = False

    def clean(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the payload that callers get; the given one stays as it is."""
        removed = {
            name
            for name, remove in (
                ("knowledgeGraph", self.knowledge_graph),
                ("answerBox", self.answer_box),
            )
            if remove
        }
        found = self._seen(payload.get("organic", []))
        cleaned: dict[str, Any] = {
            "organic": [self._result(it) for it in found if isinstance(it, dict)]
        }
        for part in PARTS:
            [shown] = self._seen([payload.get(part)]) or [None]
            if shown and part not in removed:
                cleaned[part] = shown
        return cleaned

    def _result(self, found: dict[str, Any]) -> dict[str, Any]:
        gone = ("snippet",) if self.snippets else ()
        return {name: it for name, it in found.items() if it is not None and name not in gone}

    def _seen(self, value: Any) -> Any:
        """Return a JSON value with links to read, without what has a blocked one."""
        if isinstance(value, dict):
            return {name: self._seen(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._seen(inner) for inner in value if not self._is_blocked(inner)]
        return readable(value) if _is_link(value) else value

    def _is_blocked(self, value: Any) -> bool:
        values = value.values() if isinstance(value, dict) else ()
        return any(_is_link(it) and self.blocked.blocks(it) for it in values)


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and value[:8].lower().startswith(LINK)
