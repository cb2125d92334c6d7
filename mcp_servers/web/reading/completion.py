"""Completes a choice of blocks, so that no list ends early and no part loses its heading.

What the trees say of a single block leaves out the last of many short ones, which look like the end
of a page. On pages of unseen sites this changes no mean; where it matters, words are lost without.
"""

from __future__ import annotations

import numpy as np
from lxml.html import HtmlElement
from numpy.typing import NDArray

_SERIES = 6
"""Blocks of one kind that make a series."""
_MOST = 0.5
"""Share of a series that has to be chosen for the rest to be."""
_SHORTER, _LONGER = 0.5, 2.0
"""How much shorter and longer than most of the chosen ones the rest may be."""
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})

Kept = NDArray[np.bool_]


def completed(blocks: list[HtmlElement], sizes: NDArray[np.float64], kept: Kept) -> Kept:
    """Return a choice with the rest of what was chosen for the most part.

    Args:
        blocks: The leaf blocks in order.
        sizes: The words in each.
        kept: Which of them were chosen.
    """
    kept = kept.copy()
    for places in _series(blocks):
        chosen = sizes[places][kept[places]]
        if len(chosen) < _MOST * len(places):
            continue
        usual = np.median(chosen)
        alike = (sizes[places] >= _SHORTER * usual) & (sizes[places] <= _LONGER * usual)
        kept[places[alike]] = True
    for i in reversed(range(len(blocks) - 1)):
        if blocks[i].tag in _HEADINGS and kept[i + 1]:
            kept[i] |= blocks[i].getparent() is blocks[i + 1].getparent()
    return kept


def _series(blocks: list[HtmlElement]) -> list[NDArray[np.intp]]:
    """Return the places of blocks that have tag, class and parent in common, if they are many."""
    found: dict[tuple[object, ...], list[int]] = {}
    for i, block in enumerate(blocks):
        kind = (block.getparent(), block.tag, block.get("class"))
        found.setdefault(kind, []).append(i)
    return [np.array(places, np.intp) for places in found.values() if len(places) >= _SERIES]
