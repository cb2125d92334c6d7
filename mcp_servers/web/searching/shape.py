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
    linked = [found for found in results if found["link"].startswith(("http://", "https://"))]
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
        cleaned: dict[str, Any] = {
            "organic": [
                self._result(found)
                for found in payload.get("organic", [])
                if isinstance(found, dict) and not self.blocked.blocks(str(found.get("link", "")))
            ]
        }
        removed = {
            name
            for name, remove in (
                ("knowledgeGraph", self.knowledge_graph),
                ("answerBox", self.answer_box),
            )
            if remove
        }
        for part in PARTS:
            if payload.get(part) and part not in removed:
                cleaned[part] = _readable_links(payload[part])
        return cleaned

    def _result(self, found: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in found.items() if value is not None}
        if self.snippets:
            kept.pop("snippet", None)
        cleaned: dict[str, Any] = _readable_links(kept)
        return cleaned


def _readable_links(value: Any) -> Any:
    """Return a JSON value in which every link is percent-decoded as far as that is safe."""
    if isinstance(value, dict):
        return {name: _readable_links(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_readable_links(inner) for inner in value]
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return readable(value)
    return value
