"""How many tokens a text costs, by a guess that needs no vocabulary and errs on the high side."""

from __future__ import annotations

import math
import re

_CJK = re.compile(
    r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
_WORD = re.compile(r"[A-Za-z]+")
_DIGITS = re.compile(r"\d+")
_MARK = re.compile(r"[!-/:-@\[-`{-~]+")

LETTERS_A_TOKEN = 5
DIGITS_A_TOKEN = 3
MARKS_A_TOKEN = 2


def tokens(text: str) -> int:
    """Return about how many tokens a text has for today's models.

    English costs some 1.3 tokens a word, Chinese and Japanese about one a character, other
    scripts about two for three characters; digits and punctuation are dear.
    """
    cjk = len(_CJK.findall(text))
    words = _pieces(_WORD, text, LETTERS_A_TOKEN)
    digits = _pieces(_DIGITS, text, DIGITS_A_TOKEN)
    marks = _pieces(_MARK, text, MARKS_A_TOKEN)
    others = sum(1 for character in text if character > "\x7f") - cjk if not text.isascii() else 0
    found = cjk + words + digits + marks + math.ceil(max(0, others) * 2 / 3)
    # Blanks cost little, but a text of nothing else is not free.
    return max(found + text.count("\n") // 2, len(text) // 16)


def _pieces(pattern: re.Pattern[str], text: str, size: int) -> int:
    return sum((len(run) + size - 1) // size for run in pattern.findall(text))
