"""Text within a block as Markdown: links, emphasis, code, formulas. Nothing is escaped."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from lxml.html import HtmlElement

from mcp_servers.web.reading.leaf import EASTERN

_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "del": "~~", "s": "~~", "strike": "~~"}
_ANCHORS = frozenset({"¶", "#", "§", "🔗", "⚓", "link"})
_LINKED = frozenset({"http", "https", "mailto", "ftp"})
_BROKEN = re.compile(rf"({EASTERN})[ \t\r]*\n[ \t\r\n]*(?={EASTERN})")
"""Lines within a text of Chinese or Japanese, which knows no spaces between words."""

_SPACES = re.compile(r"[ \t\r\n\f\v\xa0\u200b\u2028\u2029]+")


class Inline:
    """Writes what is within one block.

    Args:
        base: What relative links are relative to.
    """

    def __init__(self, base: str) -> None:
        self._base = base

    def text(self, element: HtmlElement, *, plain: bool = False) -> str:
        """Return the Markdown of what is in `element`; with `plain`, as one line."""
        pieces: list[str] = []
        self._gather(element, pieces, marked=plain)
        written = _BROKEN.sub(r"\1", "".join(pieces))
        lines = [_SPACES.sub(" ", line).strip() for line in written.split("\x00")]
        if plain:
            return " ".join(line for line in lines if line)
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()

    def _gather(self, element: HtmlElement, pieces: list[str], *, marked: bool) -> None:
        pieces.append(element.text or "")
        for child in element:
            self._piece(child, pieces, marked=marked)
            pieces.append(child.tail or "")

    def _piece(self, child: HtmlElement, pieces: list[str], *, marked: bool) -> None:
        tag = child.tag
        if tag == "br":
            pieces.append("\x00")
        elif tag == "tex":
            pieces.append(f"${child.text}$")
        elif tag in ("code", "kbd", "samp", "tt", "pre"):
            pieces.append(_code(child.text_content()))
        elif tag == "a":
            pieces.append(self._link(child, marked=marked))
        elif tag in _MARKS and not marked:
            inner: list[str] = []
            self._gather(child, inner, marked=True)
            pieces.append(_around("".join(inner), _MARKS[tag]))
        elif tag == "sup" and child.find(".//a") is None:
            text = child.text_content().strip()
            short = len(text) <= 6 and re.fullmatch(r"[-+−]?[\w.]+", text) and not _ordinal(text)
            pieces.append(f"^{text}" if short else text)
        elif tag == "q":
            pieces.append(f'"{child.text_content()}"')
        else:
            self._gather(child, pieces, marked=marked)

    def _link(self, link: HtmlElement, *, marked: bool) -> str:
        inner: list[str] = []
        self._gather(link, inner, marked=marked)
        written = "".join(inner)
        label = _SPACES.sub(" ", written.replace("\x00", " ")).strip()
        if not label or label.lower() in _ANCHORS:
            return " " if not label else ""
        target = self.resolve(link.get("href"))
        if target is None:
            return written
        before = " " if written[:1].isspace() else ""
        after = " " if written[-1:].isspace() else ""
        return f"{before}[{label}]({target}){after}"

    def resolve(self, href: str | None) -> str | None:
        """Return an absolute address, or None if it leads nowhere else."""
        href = re.sub(r"[\t\r\n]", "", href or "").strip()
        if not href or href.startswith("#"):
            return None
        try:
            target = urljoin(self._base, href)
            scheme = urlsplit(target).scheme
        except ValueError:
            return None
        if scheme not in _LINKED:
            return None
        for letter, coded in ((" ", "%20"), ("(", "%28"), (")", "%29"), ("<", "%3C"), (">", "%3E")):
            target = target.replace(letter, coded)
        return target


def _ordinal(text: str) -> bool:
    return text.lower() in ("st", "nd", "rd", "th", "er", "re", "e", "o", "a", "tm", "sm", "r")


def _around(text: str, mark: str) -> str:
    """Return `text` between marks, which must touch it."""
    stripped = text.strip()
    if not stripped or "\x00" in stripped:
        return text
    before = text[: len(text) - len(text.lstrip())]
    after = text[len(text.rstrip()) :]
    return f"{before}{mark}{stripped}{mark}{after}"


def _code(text: str) -> str:
    text = _SPACES.sub(" ", text)
    if not text.strip():
        return text
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"
