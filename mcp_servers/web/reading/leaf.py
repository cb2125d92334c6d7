"""A leaf block with its text, and whether another extractor chose it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lxml.html import HtmlElement

_LETTERS = re.compile(r"[\W_]+")


@dataclass(slots=True)
class Leaf:
    """One leaf block as it is measured."""

    element: HtmlElement
    text: str
    key: str
    linked: int
    chosen: bool
    above: list[HtmlElement] = field(default_factory=list)


def key(text: str) -> str:
    """Return the letters and digits of `text`, by which texts are compared."""
    return _LETTERS.sub("", text).lower()


def measured(blocks: list[HtmlElement], chosen_text: str) -> list[Leaf]:
    """Return the blocks with their text, and whether they are in the chosen text."""
    whole = key(chosen_text)
    items, at = [], 0
    for block in blocks:
        text = block.text_content()
        compact = key(text)
        linked = sum(len(key(a.text_content())) for a in block.iter("a"))
        above = list(block.iterancestors())
        if not linked and any(a.tag == "a" for a in above):
            linked = len(compact)
        chosen = bool(compact) and compact in whole
        if chosen and len(compact) >= 20:
            at = whole.index(compact) + len(compact)
        elif chosen:
            chosen = compact in whole[max(0, at - 200) : at + 400]
        items.append(Leaf(block, text, compact, linked, chosen, above))
    return items
