"""Checks that what is quoted really stands in the page, and shows it as it stands there."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from mcp_servers.web.extracting.chunks import Chunk
from mcp_servers.web.extracting.folding import Folded, folded, joined
from mcp_servers.web.extracting.prompt import number, visible

_GAP = re.compile(r"\[?(?:\.{3}|…)\]?")
_NUMBERS = re.compile(r"[ \t]?\[(\d{1,6}(?:\s*[,-]\s*\d{1,6})*)\](?!\()")
SHORTEST = 2
SHORTEST_PART = 8
"""Characters of each part of a quotation with an ellipsis in it."""
LONGEST = 2000
"""Characters of a quotation: some forty words were asked for, and each is looked for everywhere."""
FAR = 800
"""Most characters of the page that an ellipsis may stand for."""


class Source:
    """The passages that a model has seen, to be searched for quotations."""

    def __init__(self, passages: Sequence[Chunk]) -> None:
        self._passages = {number(chunk): chunk for chunk in passages}
        self._folded: dict[int, Folded] = {}

    def cite(self, quotes: Iterable[tuple[int, str]]) -> tuple[list[dict[str, Any]], int]:
        """Return a citation for each quotation that stands in the page, and how many do not.

        It holds the page's own words. A quotation under a wrong number gets the right one; one
        that spans passages, which must follow each other in the page, keeps its own.
        """
        citations: list[dict[str, Any]] = []
        dropped = 0
        for claimed, quote in dict.fromkeys(quotes):
            found = self._found(claimed, quote)
            if found is None:
                dropped += 1
                continue
            place, shown = found
            headings = " > ".join(self._passages[place].headings)
            citations.append({"passage": place, "quote": visible(shown), "section": headings})
        return citations, dropped

    def without_strange_numbers(self, text: str) -> str:
        """Return the text without [n] where no passage has such a number."""

        def checked(match: re.Match[str]) -> str:
            numbers = [int(n) for n in re.findall(r"\d+", match[1])]
            return match[0] if all(n in self._passages for n in numbers) else ""

        return _NUMBERS.sub(checked, text)

    def _found(self, claimed: int, quote: str) -> tuple[int, str] | None:
        """Return in which passage a quotation stands, and what stands there."""
        if len(quote) > LONGEST:
            return None
        parts = [part for it in _GAP.split(quote) if (part := folded(it).text)]
        said = sum(character.isalnum() for part in parts for character in part)
        # One letter proves nothing, and neither do shreds of sentences put together.
        if said < SHORTEST or (len(parts) > 1 and min(map(len, parts)) < SHORTEST_PART):
            return None
        for n in sorted(self._passages, key=lambda n: n != claimed):
            if shown := _shown(parts, self._text(n)):
                return n, shown
        if claimed in self._passages and (shown := _shown(parts, self._around(claimed))):
            return claimed, shown
        return None

    def _text(self, n: int) -> Folded:
        if n not in self._folded:
            self._folded[n] = folded(self._passages[n].text)
        return self._folded[n]

    def _around(self, n: int) -> Folded:
        """Return a passage with those that come before and after it without a gap."""
        first = last = n
        while first - 1 in self._passages:
            first -= 1
        while last + 1 in self._passages:
            last += 1
        return joined([self._text(it) for it in range(first, last + 1)])


def _shown(parts: Sequence[str], source: Folded) -> str:
    """Return what stands where all parts do, as whole words, one behind the other, not far apart.

    It is empty if they do not.
    """
    text = source.text
    start = _find(parts[0], text, 0, len(text))
    while start >= 0:
        end = start + len(parts[0])
        found = [(start, end)]
        for part in parts[1:]:
            at = _find(part, text, end, end + FAR + len(part))
            if at < 0:
                break
            end = at + len(part)
            found.append((at, end))
        else:
            return " ... ".join(source.shown(*span) for span in found)
        start = _find(parts[0], text, start + 1, len(text))
    return ""


def _find(part: str, text: str, start: int, end: int) -> int:
    """Return where a part stands between two places, not within a word; -1 if nowhere.

    "legal" must not be found in "illegal". Scripts without spaces have no such ends of words.
    """
    at = text.find(part, start, end)
    while at >= 0:
        after = at + len(part)
        begins = at == 0 or not _one_word(text[at - 1], part[0])
        ends = after == len(text) or not _one_word(part[-1], text[after])
        if begins and ends:
            return at
        at = text.find(part, at + 1, end)
    return -1


def _one_word(left: str, right: str) -> bool:
    """Whether two letters that stand side by side are of one word."""
    return all(c.isalnum() and unicodedata.category(c) != "Lo" for c in (left, right))
