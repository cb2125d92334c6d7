"""A text as the words by which passages are found: folded, stemmed a little, CJK in bigrams."""

from __future__ import annotations

import re
import unicodedata

_RUN = re.compile(
    r"(?P<cjk>[\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    r"\U00020000-\U0003ffff]+)|(?P<word>[^\W_]+(?:[.,'’][^\W_]+)*)"
)
_CJK_START = "\u3005"
_ENGLISH = 3

STOP = frozenset(
    """
    a about all also an and any are as at be because been both but by can could did do does each
    every for from had has have her him his how i if in into is it its itself me more most my no not
    of on one or other our out over own please same she should so some such than that the their
    them then there these they this those through to too under until up us very was we were what
    whatever when where which who whom whose why will with would you your
    answer content contain describe detail details explain extract find get give identify info
    information key list look main mention mentioned page point provide relevant section summarise
    summarize summary tell text website
    的 了 和 是 在 有 与 及 或 请 什么 哪些 哪个 如何 怎么 多少 关于 页面 网页 内容 信息 提取 总结
    """.split()  # noqa: SIM905 (a list of this many words is easier to read as a text)
)
"""Words that tell one passage from another badly, and those that only ask for something."""


def words(text: str) -> list[str]:
    """Return the words of a text, in order."""
    found: list[str] = []
    for match in _RUN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        if match["cjk"]:
            found += _bigrams(match["cjk"])
        else:
            found += _forms(match["word"])
    return found


def asked(info: str) -> list[str]:
    """Return the words that a question is about, each once."""
    return [word for word in dict.fromkeys(words(info)) if word not in STOP]


def _bigrams(run: str) -> list[str]:
    if len(run) == 1:
        return [run]
    return [run[i : i + 2] for i in range(len(run) - 1)]


def _forms(word: str) -> list[str]:
    """Return a word without its ending; of `3.5-inch` or `O'Neil` also nothing else."""
    word = word.replace("’", "'").removesuffix("'s")
    if word.replace(",", "").isdecimal():
        return [word.replace(",", "")]
    return [_stem(word)] if word not in STOP else [word]


def _stem(word: str) -> str:
    """Take the commonest English endings away: both sides lose the same."""
    if not word.isascii() or len(word) <= _ENGLISH or not word.isalpha():
        return word
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ss", "ss"), ("us", "us"), ("s", "")):
        if word.endswith(ending):
            word = word.removesuffix(ending) + instead
            break
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > _ENGLISH:
            word = stem.removesuffix(stem[-1]) if stem[-1:] == stem[-2:-1] else stem
            break
    return word.removesuffix("e") if len(word) > _ENGLISH + 1 else word
