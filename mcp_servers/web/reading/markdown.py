"""Writes a tree as Markdown: headings, lists, quotes, code, tables, formulas, absolute links."""

from __future__ import annotations

import re

from lxml.html import HtmlElement

from mcp_servers.web.reading import code, tables
from mcp_servers.web.reading.dom import ATOMS, BLOCKS
from mcp_servers.web.reading.inline import Inline

_HEADING = re.compile(r"h[1-6]")


def render(root: HtmlElement, base: str) -> str:
    """Return the Markdown of what is below `root`.

    Args:
        root: A tree of bounded depth, as `dom.parse` gives it.
        base: What relative links are relative to.
    """
    return _Writer(Inline(base)).blocks(root).strip()


class _Writer:
    def __init__(self, inline: Inline) -> None:
        self._inline = inline

    def blocks(self, box: HtmlElement) -> str:
        """Return the blocks in `box` with an empty line between them."""
        return "\n\n".join(part for part in self._parts(box) if part)

    def _parts(self, box: HtmlElement) -> list[str]:
        if not _holds_blocks(box):
            return [self._inline.text(box)]
        parts: list[str] = []
        if (box.text or "").strip():
            parts.append(" ".join((box.text or "").split()))
        for child in box:
            parts.append(self._block(child))
            if (child.tail or "").strip():
                parts.append(" ".join((child.tail or "").split()))
        return parts

    def _block(self, element: HtmlElement) -> str:
        tag = element.tag
        if tag == "pre":
            return code.fenced(element) if (element.text or "").strip() else ""
        if tag == "tex":
            return (
                f"$$\n{element.text}\n$$"
                if element.get("display") == "block"
                else f"${element.text}$"
            )
        if tag == "table":
            return self._table(element)
        if isinstance(tag, str) and _HEADING.fullmatch(tag):
            text = self._inline.text(element, plain=True)
            return f"{'#' * int(tag[1])} {text}" if text else ""
        if tag in ("ul", "ol", "menu", "dir"):
            return self._list(element)
        if tag == "blockquote":
            return _prefixed(self.blocks(element), "> ") if element.text_content().strip() else ""
        if tag == "hr":
            return ""
        if tag == "a" and _holds_blocks(element):
            return self._linked(element)
        if tag == "dt":
            text = self._inline.text(element, plain=True)
            return f"**{text}**" if text and not text.startswith("**") else text
        if not _holds_blocks(element) and tag not in BLOCKS:
            shell = element.makeelement("div")
            shell.append(_alone(element))
            return self._inline.text(shell)
        return self.blocks(element)

    def _linked(self, link: HtmlElement) -> str:
        """A link around whole blocks: its first line becomes the link."""
        text = self.blocks(link)
        target = self._inline.resolve(link.get("href"))
        first, break_, rest = text.partition("\n")
        mark = re.match(r"(?:#+ |- |> )*", first)
        lead = mark[0] if mark else ""
        label = first[len(lead) :]
        if target is None or not label or "](" in label or label.startswith(("|", "```", "$$")):
            return text
        return f"{lead}[{label}]({target}){break_}{rest}"

    def _table(self, table: HtmlElement) -> str:
        if tables.is_data(table):
            return tables.write(table, self._cell)
        return self.blocks(table)

    def _cell(self, cell: HtmlElement) -> str:
        if not _holds_blocks(cell):
            return self._inline.text(cell, plain=True)
        lines = [
            line for line in self.blocks(cell).split("\n") if line and not line.startswith("```")
        ]
        return " ".join(re.sub(r"^(?:#+|-) ", "", line.strip()) for line in lines)

    def _list(self, box: HtmlElement) -> str:
        number = _start(box) if box.tag == "ol" else 0
        lines: list[str] = []
        loose = False
        for item in box:
            text = self._block(item) if item.tag in ("ul", "ol", "dl") else self._item(item)
            if item.tag in ("ul", "ol"):
                text = _prefixed(text, "  ")
                lines.append(text)
                continue
            if not text:
                continue
            mark = f"{number}. " if box.tag == "ol" else "- "
            number += 1
            body = _prefixed(text, " " * len(mark)).removeprefix(" " * len(mark))
            loose = loose or ("\n\n" in body and len(body) > 200)
            lines.append(mark + ("\n" if body.startswith("```") else "") + body)
        return ("\n\n" if loose else "\n").join(line for line in lines if line.strip())

    def _item(self, item: HtmlElement) -> str:
        parts = [part for part in self._parts(item) if part]
        if not parts:
            return ""
        text = parts[0]
        for part in parts[1:]:
            tight = re.match(r"(?:- |\d+\. )", part) is not None
            text += ("\n" if tight else "\n\n") + part
        return text


def _holds_blocks(element: HtmlElement) -> bool:
    if element.tag in ATOMS:
        return False
    for below in element.iter(*BLOCKS, "tex"):
        if below is not element and (below.tag != "tex" or below.get("display") == "block"):
            return True
    return False


def _alone(element: HtmlElement) -> HtmlElement:
    element.tail = None
    return element


def _start(box: HtmlElement) -> int:
    digits = (box.get("start") or "1").strip()
    return int(digits) if digits.isdecimal() and len(digits) < 9 else 1


def _prefixed(text: str, prefix: str) -> str:
    """Return the lines after a prefix, but for those of code, which stays as it is."""
    lines, fence = [], ""
    for line in text.split("\n"):
        opening = re.match(r"`{3,}", line)
        if fence or opening:
            lines.append(line)
            if not fence and opening:
                fence = opening[0]
            elif line == fence:
                fence = ""
        else:
            lines.append((prefix + line).rstrip())
    return "\n".join(lines)
