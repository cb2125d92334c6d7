"""Okapi BM25 over the passages of one page, and nothing more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

K1 = 1.2
B = 0.6


def scores(passages: Sequence[Sequence[str]], query: Sequence[str]) -> list[float]:
    """Return how well each passage answers; 0 means that it holds no word of the query.

    Args:
        passages: The words of each passage.
        query: The words asked for, each once.
    """
    wanted = frozenset(query)
    counts = [Counter(word for word in passage if word in wanted) for passage in passages]
    holding = Counter(word for count in counts for word in count)
    average = sum(map(len, passages)) / max(1, len(passages)) or 1.0
    rarity = {
        word: math.log(1 + (len(passages) - number + 0.5) / (number + 0.5))
        for word, number in holding.items()
    }
    return [
        sum(
            rarity[word] * _weight(number, len(passage) / average) for word, number in count.items()
        )
        for count, passage in zip(counts, passages, strict=True)
    ]


def _weight(number: int, relative_length: float) -> float:
    return number * (K1 + 1) / (number + K1 * (1 - B + B * relative_length))
