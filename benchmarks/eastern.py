"""Chinese and Japanese pages of our own, whose main content is marked in them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from benchmarks.labelled import Labelled

FOLDER = Path(__file__).parents[1] / "tests" / "mcp_servers" / "web" / "reading" / "eastern"
_MAIN = re.compile(r"<!--main-->(.*?)<!--/main-->", re.DOTALL)
_INLINE = re.compile(r"</?(?:a|b|em|strong|span|code|ruby|rb|sup|font|img)\b[^>]*>")


def eastern() -> Iterator[Labelled]:
    """Yield the pages in the order of their names, as they are sent."""
    listed = tomllib.loads((FOLDER / "pages.toml").read_text(encoding="utf-8"))
    for name, about in listed.items():
        source = (FOLDER / f"{name}.html").read_text(encoding="utf-8")
        yield Labelled(
            name,
            about["type"],
            f"https://east.example/guide/{name}.html",
            source.replace("<!--main-->", "")
            .replace("<!--/main-->", "")
            .encode(about["encoding"], "xmlcharrefreplace"),
            main_content(source),
            about["header"],
            about["encoding"],
        )


def main_content(source: str) -> str:
    """Return the text between the marks; a reading stands in brackets, as old browsers show it."""
    marked = "\n".join(_MAIN.findall(source))
    marked = re.sub(r"<rp>.*?</rp>|<annotation.*?</annotation>", "", marked)
    marked = marked.replace("<rt>", "（").replace("</rt>", "）")
    return unescape(re.sub(r"<[^>]*>", "\n", _INLINE.sub("", marked)))
