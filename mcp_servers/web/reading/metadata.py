"""What a page says about itself: title, author, date."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lxml import etree
from lxml.html import HtmlElement

from mcp_servers.web.reading.dom import visible


@dataclass(frozen=True, slots=True)
class Metadata:
    """Title (may be empty), author, and day of publication."""

    title: str = ""
    author: str | None = None
    date: str | None = None


def metadata(root: HtmlElement, url: str) -> Metadata:
    """Return what the page's tags, JSON-LD and markup say."""
    from trafilatura.metadata import extract_metadata

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    logging.getLogger("htmldate").setLevel(logging.CRITICAL)
    fallback = visible(root.findtext(".//title") or "")
    try:
        found = extract_metadata(
            root, url or None, {"extensive_search": False, "original_date": True}
        )
    except (ValueError, TypeError, AttributeError, LookupError, etree.LxmlError):
        return Metadata(fallback)
    return Metadata(
        visible(found.title or "") or fallback, found.author or None, found.date or None
    )
