"""What can be said of a leaf block without understanding it: the measures `selection` weighs."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from lxml.html import HtmlElement

from mcp_servers.web.reading.leaf import Leaf, key, measured
from mcp_servers.web.reading.names import Inherited, inherited

_PHRASE = re.compile(
    r"©|all rights reserved|privacy policy|terms of|cookie|subscribe|sign (?:up|in)|log ?in"
    r"|newsletter|share (?:this|on)"
    r"|follow us|read more|learn more|see (?:all|more)|view (?:all|more)|show more|load more"
    r"|add to (?:cart|bag|wish)"
    r"|related|you may also|click here|leave a (?:comment|reply)|contact us|advertis|download"
    r" (?:our|the) app|skip to",
    re.IGNORECASE,
)
_LD = {
    "article": re.compile(r'"@type"\s*:\s*\[?\s*"(?:\w*Article|BlogPosting|Report)"'),
    "product": re.compile(r'"@type"\s*:\s*\[?\s*"(?:Product\w*|Vehicle|Book)"'),
    "list": re.compile(
        r'"@type"\s*:\s*\[?\s*"(?:ItemList|CollectionPage|OfferCatalog|SearchResultsPage)"'
    ),
    "forum": re.compile(r'"@type"\s*:\s*\[?\s*"(?:DiscussionForumPosting|QAPage|Question|Answer)"'),
}
_WORD = re.compile(r"\w+")


@dataclass(slots=True)
class Mass:
    """What lies below an element: characters, those in links, those that were selected, blocks."""

    chars: float = 0
    linked: float = 0
    chosen: float = 0
    prose: float = 0
    blocks: int = 0


def matrix(blocks: list[HtmlElement], chosen_text: str, source: str) -> np.ndarray:
    """Return a row of measures for each block.

    Args:
        blocks: The leaf blocks in order.
        chosen_text: What another extractor holds to be the main content.
        source: The HTML, for what it declares itself to be.
    """
    whole = key(chosen_text)
    items = measured(blocks, chosen_text)
    masses: dict[HtmlElement, Mass] = defaultdict(Mass)
    for item in items:
        for element in (item.element, *item.above):
            _add(masses[element], item)
    page = _page(items, len(whole), source)
    known: Inherited = {}
    own = [_own(item) for item in items]
    places = _places(items)
    flags = [float(item.chosen) for item in items]
    sizes = [float(len(item.key)) for item in items]
    around = _around(flags, sizes)
    repeats = _repeats(items)
    rows = []
    for i, item in enumerate(items):
        rows.append(
            own[i]
            + own[i - 1][:6] * (i > 0) + [0.0] * 6 * (i == 0)
            + (own[i + 1][:6] if i + 1 < len(items) else [0.0] * 6)
            + _surroundings(item, masses, page[1])
            + inherited([item.element, *item.above], known)
            + places[i] + around[i] + repeats[i] + page
        )  # fmt: skip
    return np.array(rows, dtype=np.float32)


def _add(mass: Mass, item: Leaf) -> None:
    size = len(item.key)
    mass.chars += size
    mass.linked += min(item.linked, size)
    mass.chosen += size * item.chosen
    mass.prose += size if size > 80 and item.linked * 2 < size else 0
    mass.blocks += 1


def _own(item: Leaf) -> list[float]:
    text, size = item.text.strip(), len(item.key)
    words = _WORD.findall(text)
    tag = str(item.element.tag)
    level = int(tag[1]) if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit() else 0
    return [
        math.log1p(size),
        min(1.0, item.linked / size) if size else 0.0,
        float(item.chosen),
        float(level),
        len(re.findall(r"[.!?。！？](?:\s|$)|[。！？]", text)) / (len(words) + 1),
        float(bool(_PHRASE.search(text[:300]))),
        len(re.findall(r"[,;，、]", text)) / (len(words) + 1),
        sum(c.isdigit() for c in text) / (len(text) + 1),
        sum(c.isupper() for c in text) / (len(text) + 1),
        size / (len(words) + 1),
        float(len(words)),
        float(tag == "p"),
        float(tag == "li"),
        float(tag in ("td", "th")),
        float(tag in ("pre", "tex")),
        float(tag in ("dt", "dd")),
        float(tag in ("figcaption", "caption")),
        float(text[-1:] in ".!?。！？:;"),
        float(text[-1:] == ":"),
        float("?" in text[-2:]),
        float(text[:1].isupper()),
        float(item.linked > 0),
    ]


def _surroundings(item: Leaf, masses: dict[HtmlElement, Mass], whole: float) -> list[float]:
    found: list[float] = []
    above = item.above
    for level in (0, 1, 2, 3, 5):
        mass = masses[above[min(level, len(above) - 1)]] if above else Mass()
        found += [
            math.log1p(mass.chars),
            mass.linked / (mass.chars + 1),
            mass.chosen / (mass.chars + 1),
            mass.prose / (mass.chars + 1),
            mass.chars / (math.expm1(whole) + 1),
        ]
    section = next((a for a in above if a.tag in ("section", "article", "main", "aside")), None)
    mass = masses[section] if section is not None else Mass()
    found += [
        mass.chosen / (mass.chars + 1),
        math.log1p(mass.chars),
        mass.linked / (mass.chars + 1),
    ]
    return found


def _places(items: list[Leaf]) -> list[list[float]]:
    total = sum(len(item.key) for item in items) + 1
    heads = [i for i, item in enumerate(items) if item.element.tag == "h1"]
    h1 = heads[0] if heads else -1
    chosen = [i for i, item in enumerate(items) if item.chosen and len(item.key) >= 20]
    first, last = (chosen[0], chosen[-1]) if chosen else (-1, -1)
    seen: Counter[str] = Counter()
    counts = Counter(item.key for item in items)
    so_far, found = 0, []
    for i, item in enumerate(items):
        found.append(
            [
                i / len(items),
                so_far / total,
                float(h1 >= 0 and i >= h1),
                float(max(-50, min(200, i - h1))) if h1 >= 0 else -99.0,
                float(first <= i <= last) if chosen else -1.0,
                float(max(-50, min(50, i - first))) if chosen else -99.0,
                float(max(-50, min(50, i - last))) if chosen else -99.0,
                float(seen[item.key]),
                float(min(9, counts[item.key])),
            ]
        )
        seen[item.key] += 1
        so_far += len(item.key)
    return found


def _around(flags: list[float], sizes: list[float]) -> list[list[float]]:
    """The share of chosen text among the blocks before and after, near and farther."""
    count = len(flags)
    chosen = [0.0, *accumulate(f * s for f, s in zip(flags, sizes, strict=True))]
    every = [0.0, *accumulate(sizes)]
    flagged = [0.0, *accumulate(flags)]
    found = []
    for i in range(count):
        row = []
        for reach in (1, 2, 4, 10):
            low, high = max(0, i - reach), min(count, i + reach + 1)
            row += [
                (chosen[i] - chosen[low]) / (every[i] - every[low] + 1),
                (chosen[high] - chosen[i + 1]) / (every[high] - every[i + 1] + 1),
                (flagged[high] - flagged[low]) / (high - low),
            ]
        found.append(row)
    return found


def _repeats(items: list[Leaf]) -> list[list[float]]:
    """Whether the block is part of a record that repeats: how often, and at which level."""
    groups: dict[HtmlElement, Counter[str]] = {}
    found = []
    for item in items:
        best, level = 0, 0
        path = [item.element, *item.above]
        for depth, element in enumerate(path[:8]):
            parent = element.getparent()
            if parent is None or element.tag in ("p", "td", "tr", "br"):
                continue
            if parent not in groups:
                groups[parent] = Counter(_shape(child) for child in parent)
            count = groups[parent][_shape(element)]
            if count >= 3 and count > best:
                best, level = count, depth + 1
        found.append([math.log1p(best), float(level)])
    return found


def _shape(element: HtmlElement) -> str:
    return f"{element.tag}.{(element.get('class') or '').split(' ')[0]}"


def _page(items: list[Leaf], chosen: int, source: str) -> list[float]:
    chars = sum(len(item.key) for item in items)
    linked = sum(min(item.linked, len(item.key)) for item in items)
    return [
        math.log1p(chosen),
        math.log1p(chars),
        min(2.0, chosen / (chars + 1)),
        linked / (chars + 1),
        math.log1p(len(items)),
        float(sum(len(item.key) > 200 for item in items)),
        float(re.search(r"og:type[\"'][^>]*article", source[:200_000]) is not None),
        float(re.search(r"og:type[\"'][^>]*product", source[:200_000]) is not None),
        *(float(pattern.search(source) is not None) for pattern in _LD.values()),
        float(min(50, source.count("<article"))),
        float(min(50, source.count("<pre"))),
    ]
