"""Which leaf blocks are a page's main content."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
from lxml import etree
from lxml.html import HtmlElement
from numpy.typing import NDArray

from mcp_servers.web.reading import tables
from mcp_servers.web.reading.completion import completed
from mcp_servers.web.reading.features import matrix
from mcp_servers.web.reading.forest import Forest, load

WEIGHTS = Path(__file__).with_name("weights.json")
MOST_BLOCKS = 12_000
"""Leaf blocks of a page beyond which its parts are judged by their tags alone."""

MOST_TAGS = 60_000
"""Tags of a page beyond which trafilatura is not asked: it would take minutes."""

_WHOLE = 6
"""Cells from which on a table is as likely as the less likely of its two neighbours."""

_KEYED = 0.5
"""How likely names and their values are at least: nine in ten such tables are main content."""

_AROUND = ("nav", "header", "footer", "aside", "form")
_WORD = re.compile(r"[^\W\d_]+|\d+")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def suggest(root: HtmlElement, url: str) -> str:
    """Return the text that trafilatura holds to be the main content; `root` stays as it is."""
    from trafilatura import extract

    copied = deepcopy(root)
    tables.bound_spans(copied)
    for formula in copied.iter("tex"):
        formula.tag = "span"
    try:
        return extract(copied, url=url or None, output_format="txt", include_comments=False) or ""
    except (ValueError, TypeError, AttributeError, LookupError, etree.LxmlError):
        return ""


def choose(
    blocks: list[HtmlElement], suggested: str, source: str, forest: Forest | None = None
) -> list[HtmlElement]:
    """Return the blocks that are the main content.

    Args:
        blocks: The leaf blocks in order.
        suggested: What `suggest` gave.
        source: The HTML.
        forest: Trees that judge the blocks; the kept ones unless others are given.
    """
    if not blocks:
        return []
    if len(blocks) > MOST_BLOCKS:
        return [b for b in blocks if not any(a.tag in _AROUND for a in b.iterancestors())]
    sizes = np.array([words(block) for block in blocks], np.float64)
    likely = (forest or _forest()).probabilities(matrix(blocks, suggested, source))
    likely = _with_tables(blocks, likely, sizes)
    kept = completed(blocks, sizes, best_set(likely, sizes))
    return [block for block, keep in zip(blocks, kept, strict=True) if keep]


def best_set(likely: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which blocks to keep so that the F1 of their words can be expected to be highest.

    Args:
        likely: How probably each block is main content.
        sizes: The words in each.
    """
    order = np.argsort(-likely, kind="stable")
    right = np.cumsum((likely * sizes)[order])
    taken = np.cumsum(sizes[order])
    f1 = 2 * right / (taken + right[-1] + 1e-9)
    kept = np.zeros(len(likely), np.bool_)
    kept[order[: int(np.argmax(f1)) + 1]] = True
    return kept


@cache
def _forest() -> Forest:
    return load(WEIGHTS)


def words(block: HtmlElement) -> int:
    """Return how many words are in a block; of Chinese and the like, half the letters."""
    text = block.text_content()
    return len(_WORD.findall(text)) + len(_WIDE.findall(text)) // 2


def _with_tables(
    blocks: list[HtmlElement], likely: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Let the cells of a table that holds data be judged together, so that rows stay whole."""
    cells: dict[HtmlElement, list[int]] = {}
    for i, block in enumerate(blocks):
        table = next((a for a in block.iterancestors("table")), None)
        if table is not None:
            cells.setdefault(table, []).append(i)
    for table, places in cells.items():
        if tables.is_data(table):
            within = min(
                likely[max(0, places[0] - 1)], likely[min(len(blocks), places[-1] + 2) - 1]
            )
            mean = np.average(likely[places], weights=sizes[places] + 0.1)
            if len(places) >= _WHOLE:
                mean = max(mean, within, _KEYED * tables.is_keyed(table))
            likely[places] = mean
    return likely
