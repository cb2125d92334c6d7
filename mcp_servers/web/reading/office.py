"""Word, Excel and PowerPoint files: what they hold, as Markdown."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

from lxml import etree

MOST_BYTES = 200_000_000
"""What an Office file may unpack to; more is a bomb."""

MOST_MEMBERS = 10_000
MOST_ROWS = 100_000
MOST_CELLS = 1_000_000
MOST_FILLED = 5_000_000
"""Cells beyond which short rows stay short: one long row would make much of many short ones."""


class TooBig(Exception):
    """It unpacks to more than is read."""


class Broken(Exception):
    """It is no file that can be read."""


def check(body: bytes) -> None:
    """Look at what the file says it unpacks to.

    Raises:
        TooBig: more than MOST_BYTES, or MOST_MEMBERS files.
        Broken: it is no archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise Broken(str(error)) from None
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > MOST_BYTES:
        raise TooBig


def docx(body: bytes) -> str:
    """Return a Word file as HTML, which is then written like any page."""
    import mammoth

    result = mammoth.convert_to_html(
        io.BytesIO(body), convert_image=mammoth.images.img_element(lambda image: {"src": ""})
    )
    return str(result.value)


def xlsx(body: bytes) -> str:
    """Return the sheets of an Excel file as tables, with the values that Excel computed last."""
    import openpyxl

    # Read-only, or a sheet that claims a million columns would get them.
    book = openpyxl.load_workbook(io.BytesIO(body), read_only=True, data_only=True)
    try:
        parts = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()
            rows, cut = _rows(sheet.iter_rows(max_row=MOST_ROWS + 1, values_only=True))
            parts.append(f"## {sheet.title}\n\n{table(rows, cut=cut)}".strip())
        return "\n\n".join(parts)
    finally:
        book.close()


def pptx(body: bytes) -> str:
    """Return the slides of a PowerPoint file: titles, text, tables, notes."""
    import pptx as library

    parts = []
    for number, slide in enumerate(library.Presentation(io.BytesIO(body)).slides, 1):
        title = slide.shapes.title
        heading = title.text_frame.text.strip() if title is not None else ""
        parts.append(f"## Slide {number}" + (f": {' '.join(heading.split())}" if heading else ""))
        parts.extend(text for shape in slide.shapes if shape != title for text in _shape(shape, 0))
        frame = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        if frame is not None and frame.text.strip():
            parts.append(f"Notes: {frame.text.strip()}")
    return "\n\n".join(parts)


def _shape(shape: object, depth: int) -> Iterable[str]:
    if depth > 20:
        return
    if getattr(shape, "has_table", False):
        rows = shape.table.rows  # type: ignore[attr-defined]  # python-pptx has no types
        yield table([[cell.text for cell in row.cells] for row in rows])
    elif getattr(shape, "has_text_frame", False):
        lines = [
            f"{'  ' * paragraph.level}- {text}"
            for paragraph in shape.text_frame.paragraphs  # type: ignore[attr-defined]  # no types
            if (text := "".join(run.text for run in paragraph.runs).strip())
        ]
        if len(lines) == 1:
            yield lines[0].strip().removeprefix("- ")
        elif lines:
            yield "\n".join(lines)
    for inner in getattr(shape, "shapes", ()):
        yield from _shape(inner, depth + 1)


def _rows(rows: Iterable[Iterable[object]]) -> tuple[list[list[str]], bool]:
    """Return rows as text, without empty ones, and whether some are left out.

    At most MOST_ROWS are looked at, and MOST_CELLS cells.
    """
    kept: list[list[str]] = []
    count = 0
    for number, row in enumerate(rows):
        texts = ["" if value is None else _written(value) for value in row]
        while texts and not texts[-1]:
            texts.pop()
        count += max(1, len(texts))
        if count > MOST_CELLS or number >= MOST_ROWS:
            return kept, True
        if texts:
            kept.append(texts)
    return kept, False


def _written(value: object) -> str:
    text = str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        text = str(int(value))
    return text.removesuffix(" 00:00:00")


def table(rows: list[list[str]], *, cut: bool = False) -> str:
    """Return rows as a Markdown table; the first one is its head.

    Args:
        rows: Those that are shown.
        cut: Whether there are more, which is said.
    """
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    # Only the head has to be as long as the longest row.
    filled = len(rows) if width * len(rows) <= MOST_FILLED else 1
    lines = []
    for number, row in enumerate(rows):
        full = [" ".join(cell.split()).replace("|", "\\|") for cell in row]
        if number < filled:
            full += [""] * (width - len(row))
        lines.append(f"| {' | '.join(full)} |")
    lines.insert(1, f"|{' --- |' * width}")
    if cut:
        lines += ["", f"(Only the first {len(rows)} rows are shown; there are more.)"]
    return "\n".join(lines)


def title(body: bytes) -> str:
    """Return the title in the file's properties; empty if it has none."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            root = etree.fromstring(archive.read("docProps/core.xml"), _parser())
    except (KeyError, zipfile.BadZipFile, etree.XMLSyntaxError, ValueError, OSError):
        return ""
    return (root.findtext("{http://purl.org/dc/elements/1.1/}title") or "").strip()


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True)
