"""What reading a web page gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page as it was read.

    Args:
        url: Where it came from in the end.
        title: Its title; empty if it has none.
        markdown: Its main content.
        kind: html, pdf, docx, xlsx, pptx, text, json, csv, xml, feed...
        status: ok, empty, blocked, captcha, login_wall, not_found, needs_browser, http_error,
            timeout, refused_by_policy or unsupported_type.
        note: A sentence for the model.
        author: Who wrote it, if it says so.
        date: When it was written, if it says so.
    """

    url: str
    title: str
    markdown: str
    kind: str
    status: str
    note: str
    author: str | None
    date: str | None
