"""Which blocks of a page are in its main content, given as plain text: by their words, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LETTERS = re.compile(r"[\W_]+")
_WORD = re.compile(r"\w+")
LONG = 20
"""Letters from which on a block is known by its text; a shorter one must also lie in its place."""

NEAR = 400
"""How far from a known block, in letters, a short one may lie."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the truth a block's letters stand."""

    block: int
    start: int
    end: int


def labels(texts: list[str], truth: str) -> list[float]:
    """Return for each block which share of it is in the truth."""
    whole = _key(truth)
    keys = [_key(text) for text in texts]
    found = [0.0] * len(texts)
    candidates = [
        place for i, key in enumerate(keys) if len(key) >= LONG for place in _all(i, key, whole)
    ]
    chain = _chain(candidates)
    known = {keys[place.block] for place in chain}
    for place in chain:
        found[place.block] = 1.0
    for place in candidates:
        if keys[place.block] not in known:
            found[place.block] = 1.0
    windows = _windows(truth)
    for i, key in enumerate(keys):
        if len(key) >= LONG and not found[i] and key not in known:
            found[i] = _covered(texts[i], windows)
    _short(keys, whole, {place.block: place for place in chain}, found)
    return found


def _all(block: int, key: str, whole: str) -> list[Place]:
    places: list[Place] = []
    start = whole.find(key)
    while start >= 0 and len(places) < 5:
        places.append(Place(block, start, start + len(key)))
        start = whole.find(key, start + 1)
    return places


def _chain(places: list[Place]) -> list[Place]:
    """Return the places with most letters in which blocks and truth have the same order."""
    best: list[int] = []
    before: list[int] = []
    for i, place in enumerate(places):
        score, previous = 0, -1
        for j in range(i - 1, max(-1, i - 400), -1):
            other = places[j]
            if other.block < place.block and other.end <= place.start + 2 and best[j] > score:
                score, previous = best[j], j
        best.append(score + place.end - place.start)
        before.append(previous)
    chain = []
    at = max(range(len(places)), key=best.__getitem__, default=-1)
    while at >= 0:
        chain.append(places[at])
        at = before[at]
    return chain[::-1]


def _windows(truth: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(truth.lower())
    return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}


def _covered(text: str, windows: set[tuple[str, ...]]) -> float:
    """Return the share of words that stand, four in a row, in the truth."""
    words = _WORD.findall(text.lower())
    covered = [False] * len(words)
    for i in range(len(words) - 3):
        if tuple(words[i : i + 4]) in windows:
            covered[i : i + 4] = [True] * 4
    return sum(covered) / max(1, len(words))


def _short(keys: list[str], whole: str, known: dict[int, Place], found: list[float]) -> None:
    following = [len(whole)] * (len(keys) + 1)
    for i in range(len(keys) - 1, -1, -1):
        following[i] = known[i].start if i in known else following[i + 1]
    at = 0
    for i, key in enumerate(keys):
        if i in known:
            at = known[i].end
        elif 0 < len(key) < LONG:
            start = whole.find(key, at, max(at, following[i + 1]))
            end = start + len(key)
            if start >= 0 and (start - at < NEAR or following[i + 1] - end < NEAR):
                found[i] = 1.0
                at = end


def _key(text: str) -> str:
    return _LETTERS.sub("", text).lower()
