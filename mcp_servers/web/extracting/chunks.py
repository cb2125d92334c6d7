"""A page in passages of about 160 tokens, each with the headings above it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcp_servers.web.extracting.budget import tokens

GOAL = 160
MOST = 240
# No two parts of it can take the same letters: a hostile line costs no more than its length.
_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*)")
LONGEST_HEADING = 120
"""Characters of a heading that stand above each passage below it."""
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n")
LONGEST_LINE = 600
"""Characters after which even a text without an end of a sentence is cut."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage.

    Args:
        index: Its place in the page, from 0.
        headings: Those above it, the outermost first.
        text: As it stands in the page.
        tokens: About how many.
    """

    index: int
    headings: tuple[str, ...]
    text: str
    tokens: int


def chunks(markdown: str) -> list[Chunk]:
    """Return the passages of a page, in its order; together they hold all of its text."""
    found: list[Chunk] = []
    for headings, pieces in _sections(markdown):
        for text in _packed(pieces):
            found.append(Chunk(len(found), headings, text, tokens(text)))
    return found


def last_line(markdown: str, passages: Sequence[Chunk], last: Chunk) -> int:
    """Return the line, from 1, on which a passage of a page ends.

    Passages hold all letters of the page in its order, though not all of its space.
    """
    left = sum(_letters(chunk.text) for chunk in passages[: last.index + 1])
    lines = markdown.split("\n")
    for number, line in enumerate(lines, 1):
        left -= _letters(line)
        if left <= 0:
            return number
    return len(lines)


def _letters(text: str) -> int:
    return sum(map(len, text.split()))


def _title(line: str) -> str:
    """Return a heading's text without the marks that may end its line."""
    return line.rstrip(" \t#")[:LONGEST_HEADING]


def _sections(markdown: str) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield what stands under each heading, the heading's own line first, in blocks."""
    path: list[tuple[int, str]] = []
    blocks: list[str] = []
    for block in _blocks(markdown):
        heading = _HEADING.fullmatch(block)
        if heading:
            if blocks:
                yield tuple(text for _, text in path), blocks
            level = len(heading[1])
            path = [above for above in path if above[0] < level] + [(level, _title(heading[2]))]
            blocks = []
        blocks.append(block)
    if blocks:
        yield tuple(text for _, text in path), blocks


def _blocks(markdown: str) -> Iterator[str]:
    """Yield paragraphs, headings and fenced code; what stands between fences stays together."""
    block: list[str] = []
    fence = ""
    for line in markdown.splitlines():
        mark = _FENCE.match(line)
        if fence:
            block.append(line)
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                yield "\n".join(block)
                block = []
            continue
        alone = _HEADING.fullmatch(line) is not None
        if (alone or not line.strip() or mark) and block:
            yield "\n".join(block)
            block = []
        if alone:
            yield line
        elif line.strip():
            block.append(line)
        if mark:
            fence = mark[1]
    if block:
        yield "\n".join(block)


def _packed(blocks: list[str]) -> Iterator[str]:
    """Yield texts of about GOAL tokens made of whole blocks; larger blocks are cut."""
    parts: list[str] = []
    size = 0
    for block in (piece for whole in blocks for piece in _cut(whole)):
        cost = tokens(block)
        if (parts and size + cost > MOST) or size >= GOAL:
            yield "\n\n".join(parts)
            parts, size = [], 0
        parts.append(block)
        size += cost
    if parts:
        yield "\n\n".join(parts)


def _cut(block: str) -> Iterator[str]:
    """Yield a block in pieces of at most about MOST tokens, cut at lines, else at sentences."""
    if tokens(block) <= MOST:
        yield block
        return
    verbatim = bool(_FENCE.match(block)) or block.lstrip().startswith("|")
    pieces = block.splitlines(keepends=True) if verbatim else _sentences(block)
    piece, size = "", 0
    for part in (short for long in pieces for short in _short(long)):
        cost = tokens(part)
        if piece and size + cost > GOAL:
            yield piece.rstrip()
            piece, size = "", 0
        piece += part
        size += cost
    if piece.strip():
        yield piece.rstrip()


def _sentences(text: str) -> list[str]:
    ends = [match.end() for match in _SENTENCE.finditer(text)]
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True)]


def _short(text: str) -> list[str]:
    return [text[i : i + LONGEST_LINE] for i in range(0, len(text), LONGEST_LINE)]
