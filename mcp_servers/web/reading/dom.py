"""The tree of an HTML document: parsed, completed as its scripts would, cut into leaf blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "p",
        "pre",
        "search",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
ATOMS = frozenset({"pre", "tex"})
"""Leaf blocks whatever is in them. `tex` is ours: see `formulas`."""

DEEPEST = 120
"""Levels of nesting that are kept; what is deeper is read as plain text."""

_NEXT_TO_NOTHING = 300
"""Characters of a page that is only a place for its scripts to fill."""

_SPACE = re.compile(r"\s+")
_IGNORED = re.compile(
    r"[\x00-\x08\x0b\x0e-\x1f\ufffe\uffff\ud800-\udfff]|&#(?:x0*(?:[0-8be]|1[0-9a-f])"
    r"|0*(?:[0-8]|1[1-9]|2[0-9]|3[01]));"
    r"|</(?:body|html)\s*>",
    re.IGNORECASE,
)


def parse(text: str) -> HtmlElement | None:
    """Return the root of the document, or None if there is none."""
    parser = HTMLParser(remove_comments=True, remove_pis=True, encoding="utf-8", huge_tree=True)
    try:
        root = document_fromstring(_IGNORED.sub("", text).encode(), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None
    _flatten(root)
    return root


def visible(text: str) -> str:
    """Return `text` with each run of white space as one space."""
    return _SPACE.sub(" ", text).strip()


def drop_tree(element: HtmlElement) -> None:
    """Remove an element; the text after it stays."""
    if element.getparent() is not None:
        element.drop_tree()


def unveil(root: HtmlElement) -> None:
    """Show what scripts would show: pieces that come hidden, text for browsers without scripts."""
    _put_streamed(root)
    _unwrap_noscript(root)


def _put_streamed(root: HtmlElement) -> None:
    """Put what React streamed as hidden pieces to where its script would."""
    places = {str(place.get("id")): place for place in root.iter("template") if place.get("id")}
    for piece in root.xpath("//div[@hidden and starts-with(@id, 'S:')]"):
        number = piece.get("id")[2:]
        place = places.get(f"B:{number}", places.get(f"P:{number}"))
        # Without its place no script shows it either.
        if place is not None and place not in piece.iter("template"):
            del piece.attrib["hidden"]
            place.addprevious(piece)


def _unwrap_noscript(root: HtmlElement) -> None:
    """Let text for browsers without scripts count if the page has next to nothing else."""
    body = root.find("body")
    silent = [n for n in root.iter("noscript") if len(visible(n.text_content())) > 1000]
    if body is not None and silent and _shown_size(body) < _NEXT_TO_NOTHING:
        for element in silent:
            element.tag = "div"


def _shown_size(body: HtmlElement) -> int:
    """Return how many characters there are outside of scripts and what is for their lack."""
    found = 0
    waiting = [body]
    while waiting:
        element = waiting.pop()
        found += len(visible(element.text or ""))
        for child in element:
            found += len(visible(child.tail or ""))
            if child.tag not in ("script", "style", "template", "noscript"):
                waiting.append(child)
    return found


def _flatten(root: HtmlElement) -> None:
    """Turn what is nested too deeply into plain text, so that no later step recurses too far."""
    depth = 0
    deep: list[HtmlElement] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            depth += 1
            if depth == DEEPEST:
                deep.append(element)
        else:
            depth -= 1
    for element in deep:
        texts = [t for t in element.itertext() if t.strip()]
        for child in list(element):
            element.remove(child)
        element.text = " ".join(texts)


def leaves(root: HtmlElement) -> list[HtmlElement]:
    """Return the leaf blocks in order; text that lies between blocks is wrapped into one first."""
    boxes = _boxes(root)
    for box in boxes:
        _wrap_runs(box, boxes)
    return [element for element in _walk(root, set(boxes)) if element.text_content().strip()]


def _boxes(root: HtmlElement) -> dict[HtmlElement, None]:
    """Return the elements that hold blocks, but for atoms and what is in them."""
    boxes: dict[HtmlElement, None] = {root: None}
    for element in root.iter(*BLOCKS, *ATOMS):
        if element.tag == "tex" and element.get("display") != "block":
            continue
        chain: list[HtmlElement] = []
        for above in element.iterancestors():
            if above.tag in ATOMS:
                chain.clear()
                break
            if above in boxes:
                break
            chain.append(above)
        else:
            chain.clear()
        boxes.update(dict.fromkeys(reversed(chain)))
    return boxes


def _walk(root: HtmlElement, boxes: set[HtmlElement]) -> Iterator[HtmlElement]:
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if element in boxes:
            waiting.extend(reversed(element))
        else:
            yield element


def _wrap_runs(box: HtmlElement, boxes: dict[HtmlElement, None]) -> None:
    run: HtmlElement | None = None
    if (box.text or "").strip():
        run = box.makeelement("div")
        run.text, box.text = box.text, None
    children = list(box)
    if run is not None:
        box.insert(0, run)
    for child in children:
        if child in boxes or child.tag in BLOCKS or _stands_alone(child):
            run = None
            if (child.tail or "").strip():
                run = box.makeelement("div")
                run.text, child.tail = child.tail, None
                child.addnext(run)
        elif run is not None:
            run.append(child)
        elif child.tag != "br" or (child.tail or "").strip():
            run = box.makeelement("div")
            child.addprevious(run)
            run.append(child)


def _stands_alone(element: HtmlElement) -> bool:
    return bool(element.tag == "tex" and element.get("display") == "block")
