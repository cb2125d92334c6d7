"""What reading a document gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """One document as a model reads it.

    Args:
        url: Where it came from.
        title: What it calls itself; may be empty.
        markdown: Its main content; may be empty. The same bytes always give the same text.
        kind: What it is: html, pdf, docx, xlsx, pptx, text, json, csv, xml, feed, or unknown.
        status: ok; or why the Markdown is not what was asked for: empty, blocked, captcha,
            login_wall, not_found, needs_browser, http_error, timeout, refused_by_policy,
            unsupported_type.
        note: A sentence for the model; empty if there is nothing to say.
        author: Who wrote it, if it says so.
        date: When it was published (YYYY-MM-DD), if it says so.
    """

    url: str
    title: str
    markdown: str
    kind: str
    status: str = "ok"
    note: str = ""
    author: str | None = None
    date: str | None = None
