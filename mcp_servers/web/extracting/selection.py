"""Which passages of a page are shown, when not all of them fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcp_servers.web.extracting.budget import tokens
from mcp_servers.web.extracting.chunks import Chunk, last_line
from mcp_servers.web.extracting.ranking import scores
from mcp_servers.web.extracting.words import asked, words

OVERHEAD = 8
"""Tokens that the number of a passage, and what stands around it, cost beside its text."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is shown of a page.

    Args:
        passages: In the order of the page.
        whole: Whether nothing is left out.
        matched: Whether a passage holds a word that was asked for, or none was asked for.
    """

    passages: tuple[Chunk, ...]
    whole: bool
    matched: bool


class Selector:
    """Selects from one page for one question.

    Args:
        passages: All of the page.
        info: What is asked for.
    """

    def __init__(self, passages: Sequence[Chunk], info: str) -> None:
        self._passages = passages
        query = asked(info)
        texts = [words(" ".join(chunk.headings) + "\n" + chunk.text) for chunk in passages]
        self._scores = scores(texts, query)
        self.total = sum(map(_cost, passages))
        self.matched = not query or any(self._scores)

    def select(self, budget: int) -> Selection:
        """Return the whole page if it costs at most `budget` tokens, else the best of it.

        First comes what a page begins with, then passage by passage what scores best, each with
        its neighbours as long as they fit.
        """
        if self.total <= budget:
            return Selection(tuple(self._passages), True, self.matched)
        taken: set[int] = set()
        left = budget
        for index in self._wanted():
            cost = _cost(self._passages[index])
            if index not in taken and cost <= left:
                taken.add(index)
                left -= cost
        shown = tuple(self._passages[index] for index in sorted(taken))
        return Selection(shown, False, self.matched)

    def best(self, budget: int) -> Selection:
        """Return matching passages alone, up to `budget` tokens; the page's head if any will do."""
        ranked = self._ranked() or range(len(self._passages))
        taken: list[int] = []
        left = budget
        for index in ranked:
            cost = _cost(self._passages[index])
            if cost <= left or not taken:
                taken.append(index)
                left -= cost
        shown = tuple(self._passages[index] for index in sorted(taken))
        return Selection(shown, len(shown) == len(self._passages), self.matched)

    def ends(self, selection: Selection, markdown: str) -> int:
        """Return the line of the page, from 1, on which the last of what is shown ends."""
        if selection.whole or not selection.passages:
            return markdown.count("\n") + 1
        return last_line(markdown, self._passages, selection.passages[-1])

    def _ranked(self) -> list[int]:
        """Return the passages that match, the best first."""
        matching = [index for index, score in enumerate(self._scores) if score > 0]
        return sorted(matching, key=lambda index: -self._scores[index])

    def _wanted(self) -> Iterable[int]:
        """Yield passages in the order in which they deserve a place; some come twice."""
        yield 0
        ranked = self._ranked()
        for index in ranked:
            yield index
            if index + 1 < len(self._passages):
                yield index + 1
            if index > 0:
                yield index - 1
        yield from range(len(self._passages))


def outline(passages: Sequence[Chunk], most: int = 40) -> list[str]:
    """Return the page's headings, indented, at most `most` of them."""
    paths = dict.fromkeys(chunk.headings for chunk in passages if chunk.headings)
    lines = ["  " * (len(path) - 1) + path[-1] for path in paths]
    left_out = len(lines) - most
    return lines[:most] + ([f"... and {left_out} more"] if left_out > 0 else [])


def _cost(chunk: Chunk) -> int:
    return chunk.tokens + tokens(" ".join(chunk.headings)) + OVERHEAD
