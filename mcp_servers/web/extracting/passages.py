"""What is shown of a page when no model reads it: its best passages, as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcp_servers.web.extracting.prompt import number, visible
from mcp_servers.web.extracting.selection import Selection
from mcp_servers.web.page import Page

EXTRACTIVE = "extractive-bm25"
BEGINNING = 600
HEADINGS = 12
QUOTE = 200


def excerpt(
    page: Page, selection: Selection, headings: Sequence[str]
) -> tuple[str, list[dict[str, Any]]]:
    """Return a text for the agent, and a citation for each passage in it."""
    if not selection.matched:
        return _nothing(page, selection, headings), []
    blocks = [f"# {page.title}"] if page.title else []
    above: tuple[str, ...] | None = None
    for chunk in selection.passages:
        path = " > ".join(chunk.headings) if chunk.headings != above else ""
        above = chunk.headings
        label = f"[{number(chunk)}] {path}".rstrip()
        blocks.append(f"{label}\n{visible(chunk.text)}")
    citations = [
        {
            "passage": number(chunk),
            "quote": _beginning(chunk.text),
            "section": " > ".join(chunk.headings),
        }
        for chunk in selection.passages
    ]
    return "\n\n".join(blocks), citations


def _beginning(text: str) -> str:
    """Return the first words of a passage, as they stand."""
    if len(text) <= QUOTE:
        return visible(text)
    return visible(text[:QUOTE].rpartition(" ")[0] or text[:QUOTE])


def _nothing(page: Page, selection: Selection, headings: Sequence[str]) -> str:
    lines = ["No passage of the page holds any of the words asked for; other words may do."]
    lines += [f"Its title: {page.title}"] if page.title else []
    if headings:
        lines += ["Its headings:", *headings[:HEADINGS]]
    beginning = visible(page.markdown.strip()[:BEGINNING])
    return "\n".join([*lines, "It begins:", beginning])
