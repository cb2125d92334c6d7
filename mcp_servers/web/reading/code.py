"""Code in a page: finds its text exactly, and what language it is in."""

from __future__ import annotations

import re

from lxml.html import HtmlElement

from mcp_servers.web.reading.dom import BLOCKS, drop_tree

_NUMBERS = re.compile(
    r"(?:^|[\s_-])(?:line-?no?s?|line-?numbers?(?:-rows)?|linenodiv|gutter|rouge-gutter"
    r"|blob-num|ln-num"
    r"|hljs-ln-numbers|react-syntax-highlighter-line-number)(?:$|[\s_-])",
    re.IGNORECASE,
)
_LANGUAGE = re.compile(
    r"(?:^|\s)(?:(?:language|lang|highlight-source|highlight)-|brush:\s*|sourceCode\s+|hljs\s+)"
    r"([A-Za-z][\w+#.]*)"
)
_NO_LANGUAGE = frozenset(
    ("text", "plaintext", "none", "block", "wrapper", "toolbar", "plain", "txt", "default", "code")
)
_NUMBERED = re.compile(r"\s*(?:\d+\s*)+")


def gather(root: HtmlElement) -> None:
    """Make every piece of code one `pre` that holds its text alone, with `data-language`."""
    for table in list(root.iter("table")):
        _unwrap_numbered(table)
    for code in list(root.iter("code", "samp")):
        if _is_block(code):
            code.tag = "pre"
    for pre in list(root.iter("pre")):
        if pre.getroottree().getroot() is root and not any(
            a.tag == "pre" for a in pre.iterancestors()
        ):
            _settle(pre)


def fenced(pre: HtmlElement) -> str:
    """Return the Markdown of a settled `pre`."""
    text = pre.text or ""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{pre.get('data-language', '')}\n{text}\n{fence}"


def _settle(pre: HtmlElement) -> None:
    language = _language(pre)
    for part in list(pre.iter()):
        if part is not pre and isinstance(part.tag, str) and _is_chrome(part):
            drop_tree(part)
    text = _text(pre).replace("\r\n", "\n").replace("\xa0", " ")
    for child in list(pre):
        pre.remove(child)
    pre.text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    if language:
        pre.set("data-language", language)


def _text(pre: HtmlElement) -> str:
    """Return the text as shown: a block within begins and ends a line, a `br` ends one."""
    pieces: list[str] = []

    def line_end() -> None:
        if pieces and not pieces[-1].endswith("\n"):
            pieces.append("\n")

    def gather_text(element: HtmlElement) -> None:
        block = element.tag in BLOCKS and element is not pre
        if block:
            line_end()
        if element.text:
            pieces.append(element.text)
        for child in element:
            if child.tag == "br":
                pieces.append("\n")
            else:
                gather_text(child)
            if child.tail:
                pieces.append(child.tail)
        if block:
            line_end()

    gather_text(pre)
    return "".join(pieces)


def _is_chrome(part: HtmlElement) -> bool:
    names = part.get("class") or ""
    return part.tag in ("button", "style", "script") or bool(names and _NUMBERS.search(names))


def _is_block(code: HtmlElement) -> bool:
    if any(above.tag == "pre" for above in code.iterancestors()) or code.find(".//pre") is not None:
        return False
    return code.find(".//br") is not None or (
        "\n" in code.text_content().strip("\n ")[:10_000]
        and (code.find("*") is not None or "\n  " in code.text_content())
    )


def _unwrap_numbered(table: HtmlElement) -> None:
    """Replace a table of line numbers beside code by its code."""
    pres = [pre for pre in table.iter("pre") if not _NUMBERED.fullmatch(pre.text_content())]
    if not pres or table.getparent() is None:
        return
    cells = [cell for cell in table.iter("td") if cell.find(".//td") is None]
    others = [c for c in cells if c.find(".//pre") is None or _NUMBERED.fullmatch(c.text_content())]
    if len(pres) == 1 and all(_NUMBERED.fullmatch(c.text_content() or "1") for c in others):
        [pre] = pres
        language = _language(table) or _language(pre)
        pre.tail = None
        table.addprevious(pre)
        if language:
            pre.set("data-language", language)
        drop_tree(table)


def _language(pre: HtmlElement) -> str:
    """Return the language that the element, what is in it, or what is close around it names."""
    near = [pre, *pre.iter("code"), *list(pre.iterancestors())[:3]]
    for element in near:
        for attribute in ("data-language", "data-lang"):
            if (element.get(attribute) or "").strip():
                return str(element.get(attribute)).split()[0].lower()
        for found in _LANGUAGE.finditer(element.get("class") or ""):
            name = found[1].lower().strip("-.")
            if name and name not in _NO_LANGUAGE:
                return name
    return ""
