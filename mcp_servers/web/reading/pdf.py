"""The text of a PDF, page by page."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_PAGES = 2000
MOST_CHARS = 10_000_000
_DATE = re.compile(r"D:(\d{4})(\d{2})?(\d{2})?")


class Locked(Exception):
    """The document is encrypted."""


class Broken(Exception):
    """It is no document that can be read."""


@dataclass(frozen=True, slots=True)
class PdfText:
    """What was read: pages with a heading each, and what the document says about itself."""

    markdown: str
    title: str
    author: str | None
    date: str | None
    pages: int
    cut: bool


def read(body: bytes) -> PdfText:
    """Read a PDF; pages beyond the limits are left out.

    Raises:
        Locked: it needs a password.
        Broken: it cannot be read.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(body)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise Locked from None
        raise Broken(str(error)) from None
    try:
        return _read(document)
    finally:
        document.close()


def _read(document: object) -> PdfText:
    import pypdfium2

    assert isinstance(document, pypdfium2.PdfDocument)
    parts: list[str] = []
    size, total, read_pages = 0, len(document), 0
    for number in range(min(total, MOST_PAGES)):
        if size > MOST_CHARS:
            break
        text = _tidy(_page_text(document, number))
        read_pages += 1
        size += len(text)
        if text:
            parts.append(f"## Page {number + 1}\n\n{text}" if total > 1 else text)
    about = document.get_metadata_dict()
    day = _DATE.match(about.get("CreationDate") or about.get("ModDate") or "")
    return PdfText(
        "\n\n".join(parts),
        (about.get("Title") or "").strip(),
        (about.get("Author") or "").strip() or None,
        "-".join(part for part in day.groups() if part) if day else None,
        total,
        read_pages < total,
    )


def _page_text(document: object, number: int) -> str:
    import pypdfium2

    assert isinstance(document, pypdfium2.PdfDocument)
    try:
        page = document[number]
        try:
            text = page.get_textpage()
            try:
                return str(text.get_text_bounded())
            finally:
                text.close()
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        return ""


def _tidy(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    text = re.sub(r"(\w)[\ufffe\u00ad\x02]\n?(?=\w)", r"\1", text)
    lines = [line.rstrip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
