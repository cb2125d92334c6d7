"""Checks that what is quoted really stands in the page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from mcp_servers.web.extracting.chunks import Chunk
from mcp_servers.web.extracting.prompt import number

_LINK = re.compile(r"!?\[([^\]\[]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"]*\")?\)")
_MARKS = re.compile(r"[*_`~#>|\\]+")
_GAP = re.compile(r"\s*(?:\[?\.{3}\]?|\[?…\]?)\s*")
_SPACE = re.compile(r"\s+")
_NUMBERS = re.compile(r"[ \t]?\[(\d{1,6}(?:\s*[,-]\s*\d{1,6})*)\](?!\()")
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
    }
)
SHORTEST = 2
SHORTEST_PART = 8
"""Characters of each part of a quotation with an ellipsis in it."""
FAR = 800
"""Most characters of the page that an ellipsis may stand for."""


class Source:
    """The passages that a model has seen, to be searched for quotations."""

    def __init__(self, passages: Sequence[Chunk]) -> None:
        self._passages = {number(chunk): chunk for chunk in passages}
        self._texts = {n: plain(chunk.text) for n, chunk in self._passages.items()}
        self._all = " ".join(self._texts.values())

    def cite(self, quotes: Iterable[tuple[int, str]]) -> tuple[list[dict[str, Any]], int]:
        """Return a citation for each quotation that stands in the page, and how many do not.

        A quotation under a wrong number gets the right one; one that spans passages keeps its own.
        """
        citations: list[dict[str, Any]] = []
        dropped = 0
        for claimed, quote in dict.fromkeys(quotes):
            place = self._place(claimed, quote)
            if place is None:
                dropped += 1
                continue
            headings = " > ".join(self._passages[place].headings)
            citations.append({"passage": place, "quote": quote.strip(), "section": headings})
        return citations, dropped

    def without_strange_numbers(self, text: str) -> str:
        """Return the text without [n] where no passage has such a number."""

        def checked(match: re.Match[str]) -> str:
            numbers = [int(n) for n in re.findall(r"\d+", match[1])]
            return match[0] if all(n in self._passages for n in numbers) else ""

        return _NUMBERS.sub(checked, text)

    def _place(self, claimed: int, quote: str) -> int | None:
        parts = [part for part in map(plain, _GAP.split(quote)) if part]
        said = sum(character.isalnum() for part in parts for character in part)
        # One letter proves nothing, and neither do shreds of sentences put together.
        if said < SHORTEST or (len(parts) > 1 and min(map(len, parts)) < SHORTEST_PART):
            return None
        for n in sorted(self._texts, key=lambda n: n != claimed):
            if _stands(parts, self._texts[n]):
                return n
        if claimed in self._texts and _stands(parts, self._all):
            return claimed
        return None


def plain(text: str) -> str:
    """Return a text without marks of Markdown, kinds of space, of quotes and of dashes."""
    text = _LINK.sub(r"\1", text)
    text = unicodedata.normalize("NFKC", _MARKS.sub("", text)).translate(_ALIKE)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return _SPACE.sub(" ", text).strip().casefold()


def _stands(parts: Sequence[str], text: str) -> bool:
    """Whether all parts stand in the text as whole words, one behind the other, not far apart."""
    start = _find(parts[0], text, 0, len(text))
    while start >= 0:
        end = start + len(parts[0])
        for part in parts[1:]:
            at = _find(part, text, end, end + FAR + len(part))
            if at < 0:
                break
            end = at + len(part)
        else:
            return True
        start = _find(parts[0], text, start + 1, len(text))
    return False


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
