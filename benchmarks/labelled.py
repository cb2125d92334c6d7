"""Pages whose main content is known, and how near a text comes to it.

The data is a folder with `html/N.html.gz` and `ground-truth/N.json`, as WCXB has it (CC-BY-4.0).
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml import etree, html

_EASTERN = r"\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_EASTERN}]+|(?:(?![{_EASTERN}])\w)+")
_WIDE = re.compile(rf"[{_EASTERN}]")
_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)")
_LETTERS = re.compile(r"[\W_]+")
_FENCE = re.compile(r"^(`{3,})[^\n`]*\n(.*?)\n\1$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One page.

    Args:
        name: What it is called here.
        page_type: What kind of page it is.
        url: Where it was.
        body: Its bytes.
        truth: Its main content as plain text.
        header: What its server says that it is.
        encoding: What its bytes are in truth.
    """

    name: str
    page_type: str
    url: str
    body: bytes
    truth: str
    header: str | None = None
    encoding: str = "utf-8"


def pages(data: Path) -> Iterator[Labelled]:
    """Yield the pages of a folder in the order of their names."""
    for file in sorted((data / "ground-truth").glob("*.json")):
        about = json.loads(file.read_text())
        body = gzip.decompress((data / "html" / f"{file.stem}.html.gz").read_bytes())
        yield Labelled(
            file.stem,
            about["_internal"]["page_type"]["primary"],
            about.get("url") or "",
            body,
            about["ground_truth"]["main_content"],
        )


def plain(markdown: str) -> str:
    """Return Markdown without the addresses of its links."""
    for _ in range(2):
        markdown = _LINK.sub(r"\1", markdown)
    return markdown


def words(text: str) -> list[str]:
    """Return the words of a text; of Chinese and Japanese, each two letters that are neighbours."""
    found = []
    for word in _WORD.findall(text.lower()):
        if len(word) > 1 and _WIDE.match(word):
            found += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            found.append(word)
    return found


def f1(text: str, truth: str) -> float:
    """Return the F1 of the words of `text`, each counted as often as it stands there."""
    ours, theirs = (Counter(words(t)) for t in (text, truth))
    if not ours or not theirs:
        return float(not ours and not theirs)
    both = sum((ours & theirs).values())
    return 2 * both / (ours.total() + theirs.total())


def code_kept(page: Labelled, markdown: str) -> tuple[int, int]:
    """Return how many pieces of code stand verbatim in the Markdown, of those in the truth."""
    truth, kept, count = _key(page.truth), 0, 0
    fences = {found[2].strip("\n") for found in _FENCE.finditer(markdown)}
    for code in _codes(page):
        if len(_key(code)) >= 10 and _key(code) in truth:
            count += 1
            kept += code in fences
    return kept, count


def rows_kept(page: Labelled, markdown: str) -> tuple[int, int]:
    """Return how many rows of tables are a line of the Markdown, of those in the truth."""
    truth, kept, count = _key(page.truth), 0, 0
    lines = {_key(plain(line)) for line in markdown.split("\n") if "|" in line}
    for row in _rows(page):
        if _key(row) in truth:
            count += 1
            kept += any(_key(row) in line for line in lines)
    return kept, count


def _tree(page: Labelled) -> etree._Element:
    body = page.body
    if page.encoding != "utf-8":
        body = body.decode(page.encoding).encode()
    return html.document_fromstring(body, parser=html.HTMLParser(encoding="utf-8"))


def _codes(page: Labelled) -> list[str]:
    """Return the text of each `pre` as a browser would copy it."""
    found = []
    for pre in _tree(page).iter("pre"):
        for break_ in pre.iter("br"):
            break_.tail = "\n" + (break_.tail or "")
        text = pre.text_content().replace("\r\n", "\n").replace("\xa0", " ")
        found.append("\n".join(line.rstrip() for line in text.split("\n")).strip("\n"))
    return found


def _rows(page: Labelled) -> list[str]:
    """Return the text of each row of two cells or more, of tables without tables or code."""
    found = []
    for table in _tree(page).iter("table"):
        if table.find(".//table") is None and table.find(".//pre") is None:
            for row in table.iter("tr"):
                cells = [cell.text_content() for cell in row.iter("td", "th")]
                if sum(bool(_key(cell)) for cell in cells) >= 2:
                    found.append(" ".join(cells))
    return found


def _key(text: str) -> str:
    return _LETTERS.sub("", text).lower()
