"""Takes a model's answer apart; whatever it holds, what comes out is a text and some quotations."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mcp_servers.web.extracting.prompt import ANSWER, NOT_FOUND, QUOTES

MAX_QUOTES = 30
THOUGHT_ENDS = "</think>"
_QUOTE = re.compile(r"""\s*(?:[-*]\s*)?\[(\d{1,6})\][:\s]*["“”„«'‘「『](.+)["“”»'’」』][.,;]?\s*""")
# Who writes Chinese writes its colons.
_ANSWER, _QUOTES = (f"{word.removesuffix(':')}[:：]" for word in (ANSWER, QUOTES))
_HEAD = re.compile(rf"\A[\s*#`]*{_ANSWER}\**[ \t]*", re.IGNORECASE)
# Marks of the same line only: from each of many empty lines it would look through all the others.
_BETWEEN = re.compile(rf"^[ \t*#]*{_QUOTES}\**[ \t]*$", re.IGNORECASE | re.MULTILINE)
_NONE = re.compile(
    # In small letters it may begin a sentence: then it has to stand alone.
    rf"\A[\s*#`\"]*(?:{_ANSWER}[\s*]*)?(?:{NOT_FOUND}\b|(?i:{NOT_FOUND})(?=[\s*`\".]*$))[\s*`\".:,-]*",
    re.MULTILINE,
)

REPEATS = 4
REPEATED_CHARS = 200
TAIL = 20_000


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer.

    Args:
        found: Whether it says that the information is there.
        text: The information, or what the page is about instead.
        quotes: Passage number and span, as the model offers them.
    """

    found: bool
    text: str
    quotes: tuple[tuple[int, str], ...] = ()


def parse(text: str) -> Reply | None:
    """Return the answer; None if it does not keep to the form that was asked for."""
    reply = _parsed(text)
    if reply is None:
        # Where the template of a model begins its thoughts, only their end is in its answer.
        _, end, rest = text.partition(THOUGHT_ENDS)
        reply = _parsed(rest) if end else None
    return reply


def _parsed(text: str) -> Reply | None:
    none = _NONE.match(text)
    if none:
        return Reply(False, _BETWEEN.split(text[none.end() :])[0].strip())
    head = _HEAD.match(text)
    if not head:
        return None
    answer, *rest = _BETWEEN.split(text[head.end() :], maxsplit=1)
    if not answer.strip():
        return None
    matches = [_QUOTE.fullmatch(line) for line in (rest[0] if rest else "").splitlines()]
    quotes = tuple((int(match[1]), match[2]) for match in matches if match)
    return Reply(True, answer.strip(), quotes[:MAX_QUOTES])


def without_repetition(text: str) -> tuple[str, bool]:
    """Cut a text that ends in saying the same again and again; return whether it did.

    A loop is what repeats at least REPEATS times, over REPEATED_CHARS characters or more, up to
    the end of the text. The first time stays.
    """
    period, length = _loop(text[-TAIL:][::-1])
    if length < REPEATED_CHARS or length < REPEATS * period:
        return text, False
    return text[: len(text) - length + period].rstrip(), True


def _loop(text: str) -> tuple[int, int]:
    """Return period and length of the longest beginning of `text` that is one thing repeated.

    Knuth, Morris and Pratt's failure function gives the shortest period of every beginning.
    """
    border = [0] * len(text)
    best = (1, 0)
    for i in range(1, len(text)):
        k = border[i - 1]
        while k and text[i] != text[k]:
            k = border[k - 1]
        border[i] = k + 1 if text[i] == text[k] else 0
        period = i + 1 - border[i]
        if (i + 1) >= REPEATS * period:
            best = (period, i + 1)
    return best
