"""Whether an element is what a selector of CSS means: tags, classes, ids, attributes, ancestors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cssselect import parser
from lxml.html import HtmlElement

MOST_STEPS = 3_000_000
_DEEPEST = 50
"""Compounds of one selector."""

_UNTIL_SCRIPTS = frozenset({"no-js", "nojs", "js-disabled"})
"""Classes that the first script of a page takes away."""


class Budget:
    """The steps that all comparisons of one page may take; when they are spent, nothing matches."""

    def __init__(self) -> None:
        self._left = MOST_STEPS

    def spend(self) -> bool:
        """Take a step, if there is one left."""
        self._left -= 1
        return self._left >= 0


def is_known(selector: Any) -> bool:
    """Tell whether `matches` understands the selector, and it holds once scripts have run."""
    for _ in range(_DEEPEST):
        match selector:
            case parser.Element():
                return True
            case parser.Class():
                if selector.class_name in _UNTIL_SCRIPTS:
                    return False
                selector = selector.selector
            case parser.Hash() | parser.Attrib():
                selector = selector.selector
            case parser.Negation():
                if not is_known(selector.subselector):
                    return False
                selector = selector.selector
            case parser.CombinedSelector():
                if not is_known(selector.subselector):
                    return False
                selector = selector.selector
            case _:
                return False
    return False


def subject(selector: Any) -> tuple[str, str]:
    """Return what an element must have for the selector to match: an id, a class, or a tag."""
    if isinstance(selector, parser.CombinedSelector):
        selector = selector.subselector
    found = ("", "")
    while not isinstance(selector, parser.Element):
        if isinstance(selector, parser.Hash):
            return ("id", selector.id)
        if isinstance(selector, parser.Class):
            found = ("class", selector.class_name)
        selector = selector.selector
    if found == ("", "") and selector.element:
        found = ("tag", selector.element.lower())
    return found


def matches(selector: Any, element: HtmlElement, budget: Budget) -> bool:
    """Tell whether a selector that `is_known` means this element."""
    if not budget.spend():
        return False
    match selector:
        case parser.Element():
            return not selector.element or selector.element.lower() == element.tag
        case parser.Class():
            mine = selector.class_name in (element.get("class") or "").split()
        case parser.Hash():
            mine = selector.id == element.get("id")
        case parser.Attrib():
            mine = _has(selector, element)
        case parser.Negation():
            mine = not matches(selector.subselector, element, budget)
        case _:
            return matches(selector.subselector, element, budget) and any(
                matches(selector.selector, other, budget)
                for other in _related(element, selector.combinator)
            )
    return mine and matches(selector.selector, element, budget)


def _related(element: HtmlElement, combinator: str) -> Iterator[HtmlElement]:
    if combinator == " ":
        yield from element.iterancestors()
    elif combinator == ">":
        parent = element.getparent()
        if parent is not None:
            yield parent
    elif combinator == "~":
        yield from element.itersiblings(preceding=True)
    else:
        before = element.getprevious()
        if before is not None:
            yield before


def _has(wanted: Any, element: HtmlElement) -> bool:
    value = element.get(wanted.attrib.lower())
    if value is None:
        return False
    if wanted.operator == "exists":
        return True
    text = wanted.value.value
    match wanted.operator:
        case "=":
            return bool(value == text)
        case "~=":
            return text in value.split()
        case "|=":
            return bool(value == text or value.startswith(f"{text}-"))
        case "^=":
            return bool(text) and bool(value.startswith(text))
        case "$=":
            return bool(text) and bool(value.endswith(text))
        case "*=":
            return bool(text) and text in value
    return False
