"""A leaf block with its text, and whether another extractor chose it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lxml.html import HtmlElement

_LETTERS = re.compile(r"[\W_]+")
EASTERN = r"[\u3001-\u3003\u3005-\u3011\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff1f]"
"""Letters and marks of Chinese and Japanese."""

WIDE = re.compile(r"[\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]")
"""Letters of Chinese, Japanese and Korean: two or so are a word, and there is no upper case."""

_WORTH = 2.5
"""How many letters of an alphabet say as much as one of those."""


@dataclass(slots=True)
class Leaf:
    """One leaf block as it is measured."""

    element: HtmlElement
    text: str
    key: str
    wide: int
    linked: float
    chosen: bool
    above: list[HtmlElement] = field(default_factory=list)

    @property
    def size(self) -> float:
        """How much text it is, in letters of an alphabet."""
        return len(self.key) + (_WORTH - 1) * self.wide


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
        item = Leaf(block, text, compact, len(WIDE.findall(compact)), 0, False)
        item.above = list(block.iterancestors())
        item.linked = sum(size_of(key(a.text_content())) for a in block.iter("a"))
        if not item.linked and any(a.tag == "a" for a in item.above):
            item.linked = item.size
        item.chosen = bool(compact) and compact in whole
        if item.chosen and item.size >= 20:
            at = whole.index(compact) + len(compact)
        elif item.chosen:
            item.chosen = compact in whole[max(0, at - 200) : at + 400]
        items.append(item)
    return items


def size_of(compact: str) -> float:
    """Return how much text a key stands for, in letters of an alphabet."""
    return len(compact) + (_WORTH - 1) * len(WIDE.findall(compact))
