"""Removes what a page holds and nobody who looks at it sees.

Hidden text is how a page speaks to a model behind its reader's back. What is one click away is read
all the same: closed `details`, panels of tabs, folded parts with something to press before them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree
from lxml.html import HtmlElement

from mcp_servers.web.reading import vanishing
from mcp_servers.web.reading.dom import drop_tree, visible
from mcp_servers.web.reading.styles import Styles

_SILENT = (
    "script",
    "style",
    "noscript",
    "noframes",
    "noembed",
    "template",
    "head",
    "iframe",
    "object",
    "embed",
    "svg",
    "canvas",
    "audio",
    "video",
    "input",
    "select",
    "textarea",
    "dialog",
    "datalist",
)
_LABELLED = ("th", "h1", "h2", "h3", "h4", "h5", "h6")
"""What a button in it names: a column that it sorts, a part of the page that it unfolds."""

_MOVING = re.compile(
    r"transform|transition|animat|fade|reveal|motion|aos|wow|slide|filter", re.IGNORECASE
)
_HIDDEN_CLASS = re.compile(
    r"(?:^|\s)(?:sr-only|visually-?hidden|screen-reader(?:-text|-only)?|u-hidden-visually"
    r"|assistive-text"
    r"|element-invisible|d-none|is-hidden|hidden)(?:\s|$)",
    re.IGNORECASE,
)
_SHOWN_CLASS = re.compile(
    r"(?:^|\s)(?:\w+:(?:block|flex|grid|inline\S*|table\S*|contents|not-sr-only)"
    r"|d-\w+-(?:block|flex|grid|inline\S*))(?:\s|$)"
)
"""Classes by which what is hidden on a small screen is shown on a large one."""

_PANEL = re.compile(r"tab-?_?pan(?:e|el)|tab-?content|accordion|collaps|expand", re.IGNORECASE)
_NO_PANEL = re.compile(r"menu|nav|modal|dialog|cookie|consent|drawer|popup|overlay", re.IGNORECASE)
_LEAST, _MOST = 200, 1500
"""Of a page that only a script shows, less than so much is seen, and more than so much is not."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """How text in an element is shown, as far as elements inherit it."""

    visible: bool = True
    readable: bool = True
    faint: bool = False

    @property
    def unseen(self) -> bool:
        return not self.visible or not self.readable or self.faint


def drop_hidden(root: HtmlElement) -> None:
    """Remove what a browser would not show as text, and what is there to be pressed."""
    _Sieve(root).run()
    for tool in root.find_class("mw-editsection"):
        # MediaWiki's "[edit]", in whatever language, within each heading.
        drop_tree(tool)
    for button in list(root.iter("button")):
        if any(above.tag in _LABELLED for above in button.iterancestors()):
            button.tag = "span"
        else:
            drop_tree(button)


class _Sieve:
    def __init__(self, root: HtmlElement) -> None:
        self._root = root
        self._scripted = root.find(".//script") is not None
        self._bare = root.find(".//link[@rel='stylesheet']") is None
        self._styles = Styles(root)
        _write_ticks(root)
        self._panels: set[HtmlElement] = set()
        for element in list(root.iter(*_SILENT)):
            drop_tree(element)
        self._whole = len(root.text_content())

    def run(self) -> None:
        known: dict[HtmlElement, _Shown] = {}
        for element in list(self._root.iter(etree.Element)):
            parent = element.getparent()
            around = _Shown() if parent is None else known.get(parent)
            if around is None:
                # It went with what it is in.
                continue
            if around.unseen:
                element.tail = None
            if element.tag in ("html", "body"):
                known[element] = around
            elif element.tag == "tex":
                if around.unseen:
                    drop_tree(element)
            else:
                suspect = self._styles.may_hide(element)
                if self._is_dropped(element, suspect):
                    drop_tree(element)
                    continue
                shown = known[element] = self._shown(element, around, suspect)
                if shown.unseen:
                    element.text = None

    def _values(self, element: HtmlElement) -> dict[str, str]:
        values = self._styles.of(element)
        colour = element.get("color") if element.tag == "font" else None
        said = {"color": colour, "background-color": element.get("bgcolor")}
        return {name: value.lower() for name, value in said.items() if value} | values

    def _is_dropped(self, element: HtmlElement, suspect: bool) -> bool:
        attributes = element.attrib
        if not attributes and not suspect:
            return False
        closed = "hidden" in attributes and attributes["hidden"].lower() != "until-found"
        names = attributes.get("class") or ""
        if closed or suspect:
            values = self._styles.of(element)
            closed = values.get("display", "none" if closed else "") == "none"
            if closed or vanishing.is_folded(values):
                if self._is_panel(element, folded=not closed) or self._is_page(element):
                    return False
                return not (self._scripted and not self._is_small(element))
            if vanishing.is_away(values):
                return not _fills_cell(element)
            if vanishing.is_clear(values):
                moving = _MOVING.search(element.get("style") or "") or _MOVING.search(names)
                kept = moving or "data-w-id" in attributes or not self._is_small(element)
                return not (kept or self._is_panel(element, folded=False))
        if _HIDDEN_CLASS.search(names) and not _SHOWN_CLASS.search(names):
            kept = _fills_cell(element) or not self._is_small(element)
            return not (kept or self._is_panel(element, folded=False))
        return False

    def _is_panel(self, element: HtmlElement, *, folded: bool) -> bool:
        """Tell whether one click opens the element: a panel of tabs, a folded part of a page."""
        if element in self._panels:
            return True
        names = " ".join(
            each.get(name) or ""
            for each in (element, element.getparent())
            for name in ("class", "id")
        )
        found = element.get("role") == "tabpanel" or (folded and _has_opener(element))
        if found or (
            not _NO_PANEL.search(names) and (_PANEL.search(names) or _is_disclosed(element))
        ):
            # What is folded often holds one box that fades in as it opens.
            self._panels.update((element, *element))
            return True
        return False

    def _shown(self, element: HtmlElement, around: _Shown, suspect: bool) -> _Shown:
        if not (around.unseen or suspect or self._is_coloured(element)):
            return around
        values = self._values(element)
        visible_, readable = around.visible, around.readable
        if said := values.get("visibility"):
            visible_ = said not in ("hidden", "collapse") or self._opens_at_once(element)
        if (tiny := vanishing.tiny(values.get("font-size", ""))) is not None:
            readable = not tiny
        return _Shown(visible_, readable, self._is_faint(element, values, around))

    @staticmethod
    def _is_coloured(element: HtmlElement) -> bool:
        attributes = element.attrib
        return (
            "color" in attributes.get("style", "")
            or "bgcolor" in attributes
            or (element.tag == "font" and "color" in attributes)
        )

    def _is_faint(self, element: HtmlElement, values: dict[str, str], around: _Shown) -> bool:
        """Tell whether the text has no colour, or that of its ground."""
        colour, ground = vanishing.text_colour(values), vanishing.ground_colour(values)
        if colour is None and ground is None:
            return around.faint
        above = [self._values(a) for a in element.iterancestors()] if self._bare else []
        colour = next((c for v in (values, *above) if (c := vanishing.text_colour(v))), None)
        ground = next((g for v in (values, *above) if (g := vanishing.ground_colour(v))), None)
        if ground is None and self._bare:
            ground = vanishing.WHITE
        if isinstance(colour, tuple) and isinstance(ground, tuple):
            return vanishing.alike(colour, ground)
        return colour == "clear"

    def _opens_at_once(self, element: HtmlElement) -> bool:
        """Tell whether a script or a click shows what is said to be invisible."""
        size = len(element.text_content())
        return (
            (size > 3 * _MOST and size * 6 > self._whole * 5)
            or self._is_page(element)
            or not self._is_small(element)
            or self._is_panel(element, folded=vanishing.is_folded(self._styles.of(element)))
        )

    def _is_small(self, element: HtmlElement) -> bool:
        """Tell whether it is so little of the page that the page can be seen without it."""
        if element.tag == "main" or element.find(".//main") is not None:
            return False
        headed = element.tag == "h1" or element.find(".//h1") is not None
        return not headed or len(element.text_content()) * 3 < self._whole

    def _is_page(self, element: HtmlElement) -> bool:
        """Tell whether it is so much of the page that a script must be there to show it."""
        size = len(visible(element.text_content()))
        return size > _MOST and len(visible(self._root.text_content())) - size < _LEAST


def _write_ticks(root: HtmlElement) -> None:
    """Write the boxes of a list of tasks as Markdown does: they say what is done."""
    for box in root.iter("input"):
        item = box.getparent()
        if box.get("type") == "checkbox" and "disabled" in box.attrib and item.tag == "li":
            tick = "[x]" if "checked" in box.attrib else "[ ]"
            box.tail = f"{tick} {(box.tail or '').lstrip()}"


def _has_opener(element: HtmlElement) -> bool:
    """Tell whether something to press stands before the element or what it lies in."""
    for near in (element, element.getparent()):
        before = near.getprevious() if near is not None else None
        if before is not None and any(map(_opens, before.iter(etree.Element))):
            return True
    return False


def _is_disclosed(element: HtmlElement) -> bool:
    """Tell whether what stands directly before the element says that it opens and closes it."""
    name, before = element.get("id"), element.getprevious()
    return (
        bool(name)
        and before is not None
        and any(
            each.get("aria-controls") == name and each.get("aria-expanded") is not None
            for each in before.iter(etree.Element)
        )
    )


def _opens(element: HtmlElement) -> bool:
    return (
        element.tag in ("button", "summary")
        or element.get("role") in ("button", "tab")
        or element.get("aria-expanded") is not None
    )


def _fills_cell(element: HtmlElement) -> bool:
    """Tell whether a short text stands for a picture in a cell of a table, as "yes" for a tick."""
    text = visible(element.text_content())
    cell = next(element.iterancestors("td"), None)
    return cell is not None and len(text) < 20 and visible(cell.text_content()) == text
