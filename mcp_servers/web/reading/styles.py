"""What a page's own style sheets and `style` attributes say of how its elements are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import tinycss2
from cssselect import SelectorError, parser
from lxml.html import HtmlElement

from mcp_servers.web.reading.matching import Budget, is_known, matches, subject
from mcp_servers.web.reading.vanishing import LOOKED_AT, vanishes

MOST_CSS = 2_000_000
"""Characters of a page's style sheets that are read."""

MOST_RULES = 20_000
_WIDE = 1280
"""Pixels of the window in which a page is thought to be shown."""

_WIDTH = re.compile(r"\((min|max)-width:\s*([\d.]+)(px|em|rem)\)")
_ELSEWHERE = re.compile(
    r"\b(?:print|speech|not|prefers-reduced-motion|prefers-color-scheme:\s*dark|forced-colors"
    r"|prefers-contrast|orientation:\s*portrait|hover:\s*none|scripting)\b"
)

Says = dict[str, tuple[str, bool]]
"""Values of properties, and whether they are important."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One selector with what it says; a later rule of the same weight wins."""

    selector: Any
    weight: tuple[int, int, int]
    order: int
    says: Says


class Styles:
    """The values that hold for an element, as far as the page itself says them.

    Style sheets that lie elsewhere are not known, so a value may be missing; what depends on a
    pointer, on printing or on a small screen does not count.
    """

    def __init__(self, root: HtmlElement) -> None:
        self._budget = Budget()
        self._sheets = list(_sheets(root))
        self._hiding = self._indexed(_rules(self._sheets, only_hiding=True))
        self._rules: dict[tuple[str, str], list[Rule]] | None = None
        self._known: dict[HtmlElement, dict[str, str]] = {}

    def may_hide(self, element: HtmlElement) -> bool:
        """Tell, at little cost, whether anything that would hide the element is said of it."""
        style = element.get("style")
        if style and vanishes(_values(inline(style))):
            return True
        return any(
            matches(rule.selector, element, self._budget)
            for rule in _candidates(element, self._hiding)
        )

    def of(self, element: HtmlElement) -> dict[str, str]:
        """Return the values that are set on this very element."""
        known = self._known.get(element)
        if known is None:
            known = self._known[element] = self._cascade(element)
        return known

    def _cascade(self, element: HtmlElement) -> dict[str, str]:
        if self._rules is None:
            self._rules = self._indexed(_rules(self._sheets, only_hiding=False))
        said = [
            ((False, rule.weight, rule.order), rule.says)
            for rule in _candidates(element, self._rules)
            if matches(rule.selector, element, self._budget)
        ]
        said.append(((True, (0, 0, 0), 0), inline(element.get("style") or "")))
        ranked: dict[str, tuple[Any, str]] = {}
        for rank, says in said:
            for name, (value, important) in says.items():
                if name not in ranked or ranked[name][0] <= (important, rank):
                    ranked[name] = ((important, rank), value)
        return {name: value for name, (_, value) in ranked.items()}

    @staticmethod
    def _indexed(rules: Iterable[Rule]) -> dict[tuple[str, str], list[Rule]]:
        found: dict[tuple[str, str], list[Rule]] = {}
        for rule in rules:
            found.setdefault(subject(rule.selector), []).append(rule)
        return found


def _candidates(element: HtmlElement, rules: dict[tuple[str, str], list[Rule]]) -> Iterator[Rule]:
    if rules:
        yield from rules.get(("", ""), ())
        yield from rules.get(("tag", str(element.tag)), ())
        yield from rules.get(("id", element.get("id") or ""), ())
        for name in dict.fromkeys((element.get("class") or "").split()):
            yield from rules.get(("class", name), ())


@lru_cache(maxsize=4096)
def inline(style: str) -> Says:
    """Return what a `style` attribute says."""
    return _says(tinycss2.parse_blocks_contents(style)) if style else {}


def _values(says: Says) -> dict[str, str]:
    return {name: value for name, (value, _) in says.items()}


def _sheets(root: HtmlElement) -> Iterator[tuple[Any, Says]]:
    """Yield the rules of all style sheets that apply, with what they say."""
    left = MOST_CSS
    for sheet in root.iter("style"):
        within = any(a.tag in ("noscript", "template", "svg") for a in sheet.iterancestors())
        if not within and _applies(sheet.get("media") or ""):
            text = (sheet.text or "")[:left]
            left -= len(text)
            for rule in _flat(tinycss2.parse_stylesheet(text, skip_comments=True), 0):
                if says := _says(tinycss2.parse_blocks_contents(rule.content)):
                    yield rule.prelude, says


def _rules(sheets: list[tuple[Any, Says]], *, only_hiding: bool) -> Iterator[Rule]:
    order = 0
    for prelude, says in sheets:
        if only_hiding and not vanishes(_values(says)):
            continue
        for selector in _selectors(tinycss2.serialize(prelude)):
            order += 1
            if order > MOST_RULES:
                return
            yield Rule(selector.parsed_tree, selector.specificity(), order, says)


def _flat(nodes: Iterable[Any], depth: int) -> Iterator[Any]:
    """Yield the rules, also those within `@media` and the like, if they hold."""
    for node in nodes:
        if node.type == "qualified-rule":
            if any(t.type == "ident" and t.lower_value in LOOKED_AT for t in node.content):
                yield node
        elif node.type == "at-rule" and node.content is not None and depth < 5:
            named = node.lower_at_keyword
            if named in ("supports", "layer") or (
                named == "media" and _applies(tinycss2.serialize(node.prelude))
            ):
                inner = tinycss2.parse_rule_list(node.content, skip_comments=True)
                yield from _flat(inner, depth + 1)


def _says(nodes: Iterable[Any]) -> Says:
    return {
        node.lower_name: (tinycss2.serialize(node.value).strip().lower(), node.important)
        for node in nodes
        if node.type == "declaration" and node.lower_name in LOOKED_AT
    }


def _selectors(text: str) -> list[Any]:
    """Return the selectors in a list that can be told to match without a pointer or a script."""
    found = []
    for one in _split(text):
        try:
            [selector] = parser.parse(one)
        except (SelectorError, ValueError, RecursionError):
            continue
        if selector.pseudo_element is None and is_known(selector.parsed_tree):
            found.append(selector)
    return found


def _split(text: str) -> list[str]:
    """Return the parts between commas; one that is not understood does not spoil the others."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _applies(media: str) -> bool:
    """Tell whether a list of media queries holds on a wide screen."""
    queries = [query.strip().lower() for query in media.split(",")]
    return any(not query or _holds(query) for query in queries)


def _holds(query: str) -> bool:
    if _ELSEWHERE.search(query):
        return False
    for bound, number, unit in _WIDTH.findall(query):
        pixels = float(number) * (1 if unit == "px" else 16)
        if pixels > _WIDE if bound == "min" else pixels < _WIDE:
            return False
    return True
