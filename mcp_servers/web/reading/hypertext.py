"""An HTML document: its main content as Markdown, and what it says about itself."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from urllib.parse import urljoin

from lxml.html import HtmlElement

from mcp_servers.web.reading import code, declared, formulas, selection
from mcp_servers.web.reading.dom import drop_hidden, drop_tree, leaves, parse, unveil, visible
from mcp_servers.web.reading.markdown import render
from mcp_servers.web.reading.metadata import Metadata, metadata

SPARSE = 1000
"""Characters of visible text below which what a page declares may be its text."""


@dataclass(frozen=True, slots=True)
class Document:
    """What was read from a page's HTML.

    Args:
        markdown: Its main content.
        about: Title, author, date.
        root: Its tree as it came, or None if there was nothing in it.
        shown: The visible text of the whole page.
    """

    markdown: str
    about: Metadata
    root: HtmlElement | None
    shown: str


def read(source: str, url: str) -> Document:
    """Read a page."""
    root = parse(source)
    if root is None:
        return Document("", Metadata(), None, "")
    unveil(root)
    original = deepcopy(root)
    small = source.count("<") <= selection.MOST_TAGS
    about = metadata(root, url) if small else Metadata(visible(root.findtext(".//title") or ""))
    formulas.gather(root)
    suggested = selection.suggest(root, url) if small else ""
    drop_hidden(root)
    code.gather(root)
    blocks = leaves(root)
    shown = " ".join(visible(block.text_content()) for block in blocks)
    kept = set(selection.choose(blocks, suggested, source))
    for block in blocks:
        if block not in kept:
            drop_tree(block)
    markdown = render(root, _base(original, url))
    if len(shown) < SPARSE and len(text := declared.body(original)) > 2 * len(shown):
        markdown = text
    return Document(markdown, about, original, shown)


def _base(root: HtmlElement, url: str) -> str:
    base = root.find(".//base[@href]")
    try:
        return urljoin(url, base.get("href").strip()) if base is not None else url
    except ValueError:  # it is no address: browsers do without it, too
        return url
