"""Which leaf blocks are a page's main content."""

from __future__ import annotations

from copy import deepcopy

from lxml import etree
from lxml.html import HtmlElement

from mcp_servers.web.reading.dom import ATOMS
from mcp_servers.web.reading.features import measured


def suggest(root: HtmlElement, url: str) -> str:
    """Return the text that trafilatura holds to be the main content; `root` stays as it is."""
    from trafilatura import extract

    copied = deepcopy(root)
    for formula in copied.iter("tex"):
        formula.tag = "span"
    try:
        return extract(copied, url=url or None, output_format="txt", include_comments=False) or ""
    except (ValueError, TypeError, AttributeError, LookupError, etree.LxmlError):
        return ""


def choose(blocks: list[HtmlElement], suggested: str, source: str) -> list[HtmlElement]:
    """Return the blocks that are the main content.

    Args:
        blocks: The leaf blocks in order.
        suggested: What `suggest` gave.
        source: The HTML.
    """
    leaves = measured(blocks, suggested)
    chosen = [leaf.chosen for leaf in leaves]
    for i, leaf in enumerate(leaves):
        # What trafilatura alters, or overlooks in the midst of what it chooses.
        if leaf.element.tag in ATOMS and any(chosen[max(0, i - 3) : i]) and any(chosen[i : i + 4]):
            chosen[i] = True
    return [leaf.element for leaf, kept in zip(leaves, chosen, strict=True) if kept]
