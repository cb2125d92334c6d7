"""The tree of an HTML document: parsed, cut into leaf blocks, and what is not shown removed."""

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

_SILENT = (
    "script",
    "style",
    "noscript",
    "template",
    "head",
    "iframe",
    "object",
    "embed",
    "svg",
    "canvas",
    "audio",
    "video",
    "button",
    "input",
    "select",
    "textarea",
    "dialog",
    "datalist",
)
_HIDDEN_STYLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)"
    r"|font-size\s*:\s*0(?:px|em|rem|%)?\s*(?:;|!|$)|text-indent\s*:\s*-\d{3,}"
    r"|(?:left|top)\s*:\s*-\d{4,}|clip\s*:\s*rect\(\s*[01])",
    re.IGNORECASE,
)
_CLEAR_STYLE = re.compile(r"(?:^|;)\s*opacity\s*:\s*0(?:\.0+)?\s*(?:;|!|$)", re.IGNORECASE)
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


def drop_hidden(root: HtmlElement) -> None:
    """Remove what a browser would not show as text."""
    for element in list(root.iter(*_SILENT)):
        drop_tree(element)
    whole = len(root.text_content())
    for element in list(root.iter(etree.Element)):
        if element.tag not in ("html", "body", "tex") and _is_hidden(element, whole):
            drop_tree(element)


def unveil(root: HtmlElement) -> None:
    """Show what scripts would show: pieces that come hidden, text for browsers without scripts."""
    _put_streamed(root)
    _unwrap_noscript(root)


def _put_streamed(root: HtmlElement) -> None:
    """Put what React streamed as hidden pieces to where its script would."""
    places = {str(place.get("id")): place for place in root.iter("template") if place.get("id")}
    for piece in root.xpath("//div[@hidden and starts-with(@id, 'S:')]"):
        del piece.attrib["hidden"]
        number = piece.get("id")[2:]
        place = places.get(f"B:{number}", places.get(f"P:{number}"))
        if place is not None and place not in piece.iter("template"):
            place.addprevious(piece)


def _unwrap_noscript(root: HtmlElement) -> None:
    """Let text for browsers without scripts count if it is most of what the page has."""
    body = root.find("body")
    silent = list(root.iter("noscript"))
    for element in silent:
        text = len(visible(element.text_content()))
        if text > 1000 and body is not None:
            whole = sum(len(t) for t in body.itertext() if t.strip())
            scripts = sum(len(s.text_content()) for s in body.iter("script", "style", "template"))
            if text * 2 > whole - scripts:
                element.tag = "div"


def _is_hidden(element: HtmlElement, whole: int) -> bool:
    attributes = element.attrib
    # The panels of tabs are one click away: they are read, as closed `details` are.
    if not attributes or attributes.get("role") == "tabpanel":
        return False
    if "hidden" in attributes and attributes["hidden"].lower() != "until-found":
        return True
    style = attributes.get("style")
    if style and _HIDDEN_STYLE.search(style):
        return True
    names = attributes.get("class") or ""
    if style and _CLEAR_STYLE.search(style):
        moving = _MOVING.search(style) or _MOVING.search(names) or "data-w-id" in attributes
        return not moving and len(element.text_content()) * 3 < whole
    if _HIDDEN_CLASS.search(names) and not _SHOWN_CLASS.search(names):
        return len(element.text_content()) * 3 < whole and not _fills_cell(element)
    return False


def _fills_cell(element: HtmlElement) -> bool:
    """Tell whether a short text stands for a picture in a cell of a table, as "yes" for a tick."""
    text = visible(element.text_content())
    cell = next(element.iterancestors("td"), None)
    return cell is not None and len(text) < 20 and visible(cell.text_content()) == text


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
