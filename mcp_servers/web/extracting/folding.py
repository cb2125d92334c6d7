"""A text as it is compared with what is said to stand in it, and the way back to the text. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_LINK = re.compile(r"!?\[([^\]\[]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"]*\")?\)")
_MARKS = frozenset("*_`~#>|\\")
# Of what is plain, the last letter before an accent is left to the accent.
_PIECE = re.compile(r"\s+|[!-~]+(?![^\x00-\x7f])|.", re.DOTALL)
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
    }
)
_OTHER_VALUE = ("<super>", "<sub>", "<fraction>", "<circle>")
"""Signs that are no other way to write a letter: a power of ten is not a longer number."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A text without marks of Markdown, kinds of space, of quotes and of dashes, in small letters.

    Args:
        text: That.
        whole: The text that it was made of, with links as their words.
        spans: For each character of `text`, where in `whole` it begins and ends.
    """

    text: str
    whole: str
    spans: tuple[tuple[int, int], ...]

    def shown(self, start: int, end: int) -> str:
        """Return what stands in the text where `text[start:end]` does, as one line."""
        return " ".join(self.whole[self.spans[start][0] : self.spans[end - 1][1]].split())


def folded(text: str) -> Folded:
    """Return a text to search in, or to search for."""
    whole = _LINK.sub(r"\1", text)
    letters: list[str] = []
    spans: list[tuple[int, int]] = []
    for start, end in _pieces(whole):
        piece = whole[start:end]
        if piece.isascii() and not piece.isspace():
            kept = [(at, at + 1) for at in range(start, end) if whole[at] not in _MARKS]
            letters += [whole[at].lower() for at, _ in kept]
            spans += kept
            continue
        for letter in _fold(piece):
            if letter == " " and letters[-1:] in ([], [" "]):
                continue
            letters.append(letter)
            spans.append((start, end))
    if letters[-1:] == [" "]:
        del letters[-1], spans[-1]
    return Folded("".join(letters), whole, tuple(spans))


def joined(parts: list[Folded]) -> Folded:
    """Return texts that follow each other as one."""
    text, whole = "", ""
    spans: list[tuple[int, int]] = []
    for part in parts:
        if text and part.text:
            spans.append((len(whole), len(whole) + 1))
            text, whole = f"{text} ", f"{whole}\n"
        spans += [(start + len(whole), end + len(whole)) for start, end in part.spans]
        text, whole = text + part.text, whole + part.whole
    return Folded(text, whole, tuple(spans))


def _pieces(text: str) -> list[tuple[int, int]]:
    """Return where each letter with its accents, and each run of ASCII or space, is."""
    found: list[tuple[int, int]] = []
    for match in _PIECE.finditer(text):
        start, end = match.span()
        if found and end - start == 1 and unicodedata.combining(match[0]):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _fold(cluster: str) -> str:
    if cluster.isspace():
        return " "
    if unicodedata.decomposition(cluster[0]).startswith(_OTHER_VALUE):
        return cluster
    plain = unicodedata.normalize("NFKC", cluster).translate(_ALIKE)
    return "".join(c for c in plain if unicodedata.category(c) != "Cf").casefold()
