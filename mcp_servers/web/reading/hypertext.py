"""An HTML document: its main content as Markdown, and what it says about itself."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from urllib.parse import urljoin

from lxml.html import HtmlElement

from mcp_servers.web.reading import code, declared, formulas, ruby, selection
from mcp_servers.web.reading.dom import drop_tree, leaves, parse, unveil, visible
from mcp_servers.web.reading.forest import Forest
from mcp_servers.web.reading.hidden import drop_hidden
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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A page before its main content is chosen.

    Args:
        root: Its tree without what is not shown; `original` as it came.
        blocks: The leaf blocks in order.
        suggested: What another extractor holds to be the main content.
    """

    root: HtmlElement
    original: HtmlElement
    about: Metadata
    blocks: list[HtmlElement]
    suggested: str


def prepare(source: str, url: str) -> Prepared | None:
    """Return the page cut into blocks; None if there is nothing in it."""
    root = parse(source)
    if root is None:
        return None
    unveil(root)
    original = deepcopy(root)
    small = source.count("<") <= selection.MOST_TAGS
    about = metadata(root, url) if small else Metadata(visible(root.findtext(".//title") or ""))
    formulas.gather(root)
    ruby.gather(root)
    suggested = selection.suggest(root, url) if small else ""
    drop_hidden(root)
    code.gather(root)
    return Prepared(root, original, about, leaves(root), suggested)


def read(source: str, url: str, forest: Forest | None = None) -> Document:
    """Read a page; other trees than the kept ones choose its blocks if there are any."""
    page = prepare(source, url)
    if page is None:
        return Document("", Metadata(), None, "")
    shown = " ".join(visible(block.text_content()) for block in page.blocks)
    kept = set(selection.choose(page.blocks, page.suggested, source, forest))
    for block in page.blocks:
        if block not in kept:
            drop_tree(block)
    markdown = render(page.root, _base(page.original, url))
    if len(shown) < SPARSE and len(text := declared.body(page.original)) > 2 * len(shown):
        markdown = text
    return Document(markdown, page.about, page.original, shown)


def _base(root: HtmlElement, url: str) -> str:
    base = root.find(".//base[@href]")
    try:
        return urljoin(url, base.get("href").strip()) if base is not None else url
    except ValueError:  # it is no address: browsers do without it, too
        return url
