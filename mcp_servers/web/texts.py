"""The words and fields agents were trained on: results of searches, pages, and failures. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from mcp_servers.web.extracting.passages import EXTRACTIVE
from mcp_servers.web.extracts import Extract
from mcp_servers.web.page import Page, one_line
from mcp_servers.web.reader import Seen
from mcp_servers.web.searching.search import Answer

BETWEEN = "\n=======\n"
"""What stands between the parts of an answer to several requests."""

_LIKE_BETWEEN = re.compile(r"^\s*={7}\s*$", re.MULTILINE)

LONGEST_SLICE = 100_000
BREAK_WITHIN = 0.2
"""The share of a slice at whose end a better place to break is looked for."""


def mark(age_s: float | None) -> dict[str, Any]:
    """Return the fields that say whether something was kept, and for how long."""
    return {"cached": age_s is not None, "age_s": age_s or 0.0}


def search_failure(error: str) -> dict[str, Any]:
    """Return a failed search."""
    return {"success": False, "error": error, "results": []}


def results(query: str, answer: Answer) -> str:
    """Return the results of a search as a list to read."""
    found = answer.payload["organic"]
    engine = "Google" if answer.provider == "serper" else "web"
    count = f"{len(found)} result{'s' * (len(found) != 1)}"
    lines = [f"A {engine} search for '{query}' found {count}:"]
    if note := answer.payload.get("note"):
        lines.append(note)
    if found:
        listed = [_listed(place, it) for place, it in enumerate(found, 1)]
        lines.append("## Web Results\n" + "\n\n".join(listed))
    return "\n\n".join(lines)


def _listed(place: int, found: dict[str, Any]) -> str:
    title, link = one_line(str(found.get("title", ""))), one_line(str(found.get("link", "")))
    lines = [f"{place}. [{title}]({link})"]
    if date := found.get("date"):
        lines.append(f"Date published: {one_line(str(date))}")
    if snippet := found.get("snippet"):
        lines.append(one_line(str(snippet)))
    return "\n".join(lines)


def extract(url: str, extract: Extract) -> dict[str, Any]:
    """Return what was found in a page, or why not."""
    page, found = extract.page, extract.found
    return {
        "success": found is not None,
        "url": url,
        "extracted_info": found["text"] if found else "",
        "error": "" if found else _why(extract),
        "scrape_stats": _stats(page.markdown, found),
        "model_used": found["model_used"] if found else "",
        "tokens_used": found["tokens_used"] if found else 0,
        "citations": found["citations"] if found else [],
        "truncated": found["truncated"] if found else False,
        **mark(extract.age_s),
        "status": _status(extract),
    }


def _stats(markdown: str, found: dict[str, Any] | None) -> dict[str, Any]:
    """Return how much of a page there was, and how much of it was looked at."""
    return {
        "line_count": markdown.count("\n") + bool(markdown),
        "char_count": len(markdown),
        "last_char_line": found["last_line"] if found else 0,
        "all_content_displayed": found is not None and not found["truncated"],
    }


def _status(extract: Extract) -> str:
    if extract.found is not None:
        return str(extract.found["status"])
    return "timeout" if extract.late else extract.page.status


def _why(extract: Extract) -> str:
    if extract.late:
        return "The page was read, but time ran out before anything was found in it. Try again."
    return page_failure(extract.page)


def joined(parts: Iterable[str]) -> str:
    """Return the parts of an answer to several requests as one text.

    What looks like the line between them, in a part, is shortened: a page must not pretend to be
    two, the second of which is said to come from another address.
    """
    return BETWEEN.join(_LIKE_BETWEEN.sub("======", part) for part in parts)


def page_failure(page: Page) -> str:
    """Return why a page could not be read, never empty."""
    return page.note or f"The page could not be read: {page.status.replace('_', ' ')}."


def extracts(url: str, purpose: str, outcome: dict[str, Any]) -> str:
    """Return what was found in one of several pages, or why not."""
    if not outcome["success"]:
        return f"[{outcome['status']}] {url} could not be used: {outcome['error']}"
    head = f"The useful information in {url} for user goal {purpose} as follows:"
    if outcome["model_used"] == EXTRACTIVE:
        return f"{head}\n\n{outcome['extracted_info']}"
    quotes = [f'- "{it["quote"]}"' for it in outcome["citations"] if it.get("quote")]
    evidence = "\n\nEvidence in page:\n" + "\n".join(quotes) if quotes else ""
    return f"{head}{evidence}\n\nSummary:\n{outcome['extracted_info']}"


def page_slice(seen: Seen, start: int, max_chars: int) -> tuple[str, dict[str, Any]]:
    """Return a part of a page as text, which says what comes next, and as fields.

    Args:
        seen: A page that could be read.
        start: The first character, from 0; it is one of the page.
        max_chars: Most characters.
    """
    page, text = seen.page, seen.page.markdown
    end = _end(text, start, min(max(max_chars, 1), LONGEST_SLICE))
    head = [
        f"{name}: {value}"
        for name, value in (
            ("URL", page.url),
            ("Title", page.title),
            ("Author", page.author),
            ("Date", page.date),
            ("Note", page.note),
        )
        if value
    ]
    following = end if end < len(text) else None
    if following is None and start == 0:
        foot = ""
    else:
        foot = f"\n\n[Characters {start} to {end} of {len(text)}. "
        foot += "This is the end." if following is None else f"Next: start={following}."
        foot += "]"
    fields = {
        "success": True,
        "url": page.url,
        "title": page.title,
        "text": text[start:end],
        "kind": page.kind,
        "status": page.status,
        "note": page.note,
        "author": page.author,
        "date": page.date,
        "start": start,
        "end": end,
        "next_start": following,
        "total_chars": len(text),
        **mark(seen.age_s),
    }
    return "\n".join(head) + f"\n\n{text[start:end]}{foot}", fields


def _end(text: str, start: int, most: int) -> int:
    """Return where a slice ends: at the end of a paragraph or line, if one is near."""
    end = start + most
    if end >= len(text):
        return len(text)
    earliest = end - int(most * BREAK_WITHIN)
    for gap in ("\n\n", "\n", " "):
        place = text.rfind(gap, earliest, end)
        if place > start:
            return place + len(gap)
    return end


def page_refusal(url: str, status: str, error: str) -> dict[str, Any]:
    """Return why there is no page."""
    return {"success": False, "url": url, "error": error, "status": status}
