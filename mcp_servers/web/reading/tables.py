"""Tables: tells those that hold data from those that lay out a page, and writes data as rows."""

from __future__ import annotations

from collections.abc import Callable

from lxml.html import HtmlElement

MOST_COLUMNS = 100
MOST_CELLS = 200_000
MOST_SPANNED = 20_000
"""Cells that all spans of a page may claim together."""
_LONG, _LONG_ALONE = 1500, 600
"""Characters of a cell that lays out a page; in a table of one row, fewer tell."""

_PARTS = ("div", "h2", "h3", "h4", "form", "article", "section")
"""Parts of a page; a table of one row that has several of them in a cell lays them out."""

_FEW = 3
"""Rows from which on one can tell what they are."""

_LAYOUT_ROLES = ("presentation", "none")


def is_data(table: HtmlElement) -> bool:
    """Tell whether the table holds data in rows and columns."""
    if table.get("role") in _LAYOUT_ROLES or table.find(".//table") is not None:
        return False
    rows = own_rows(table)
    widths = [len(cells(row)) for row in rows]
    if not widths or max(widths) < 2:
        return False
    if table.find(".//th") is not None or table.find("caption") is not None:
        return True
    if len(rows) == 1 and any(_parts(cell) > 1 for cell in cells(rows[0])):
        return False
    longest = max(len(cell.text_content()) for row in rows for cell in cells(row))
    return longest < (_LONG if len(rows) > 1 else _LONG_ALONE) and table.find(".//h1") is None


def _parts(cell: HtmlElement) -> int:
    """Return how many parts of a page lie in a cell."""
    return sum(bool(part.text_content().strip()) for part in cell.iter(*_PARTS))


def is_keyed(table: HtmlElement) -> bool:
    """Tell whether most rows are a name and its value, as of a product's properties."""
    widths = [sum(bool(c.text_content().strip()) for c in cells(row)) for row in own_rows(table)]
    return len(widths) >= _FEW and widths.count(2) * 5 >= len(widths) * 4


def own_rows(table: HtmlElement) -> list[HtmlElement]:
    """Return the rows of the table, not of tables within it."""
    return [
        row
        for part in (table, *table.iterchildren("thead", "tbody", "tfoot"))
        for row in part.iterchildren("tr")
    ]


def cells(row: HtmlElement) -> list[HtmlElement]:
    """Return the cells of a row."""
    return list(row.iterchildren("td", "th"))


def write(table: HtmlElement, text: Callable[[HtmlElement], str]) -> str:
    """Return the table in Markdown.

    Args:
        table: One that holds data.
        text: Writes a cell as one line.
    """
    rows = _grid(table, text)
    columns = max((len(row) for row in rows), default=0)
    used = [i for i in range(columns) if any(i < len(row) and row[i] for row in rows)]
    lines = []
    for row in rows:
        full = row + [""] * (columns - len(row))
        kept = [full[i] for i in used]
        if any(kept):
            lines.append(f"| {' | '.join(kept)} |")
    if not lines:
        return ""
    lines.insert(1, f"|{' --- |' * len(used)}")
    caption = table.find("caption")
    title = text(caption) if caption is not None else ""
    return "\n".join([title, "", *lines] if title else lines)


def _grid(table: HtmlElement, text: Callable[[HtmlElement], str]) -> list[list[str]]:
    """Return the cells of each row; one that spans rows is named in each of them."""
    grid: list[list[str]] = []
    reaching: dict[int, tuple[int, str]] = {}
    count = 0
    for row in own_rows(table):
        written: list[str] = []
        for cell in cells(row):
            _reach(written, reaching)
            words = text(cell).replace("|", "\\|")
            width, height = _span(cell, "colspan"), _span(cell, "rowspan")
            for offset in range(width):
                if height > 1:
                    reaching[len(written)] = (height - 1, words if offset == 0 else "")
                written.append(words if offset == 0 else "")
        _reach(written, reaching)
        count += len(written)
        if count > MOST_CELLS:
            break
        grid.append(written)
    return grid


def _reach(written: list[str], reaching: dict[int, tuple[int, str]]) -> None:
    """Add the cells of earlier rows that reach into this one."""
    while (column := len(written)) in reaching:
        left, words = reaching.pop(column)
        written.append(words)
        if left > 1:
            reaching[column] = (left - 1, words)


def bound_spans(root: HtmlElement) -> None:
    """Take the spans from all cells if they claim more than a page has; others may believe them."""
    spanning = root.xpath("//*[@colspan or @rowspan]")
    claimed = sum(_span(cell, "colspan") * _span(cell, "rowspan") for cell in spanning)
    if claimed > MOST_SPANNED:
        for cell in spanning:
            cell.attrib.pop("colspan", None)
            cell.attrib.pop("rowspan", None)


def _span(cell: HtmlElement, name: str) -> int:
    digits = (cell.get(name) or "1").strip()
    return max(1, min(int(digits), MOST_COLUMNS)) if digits.isdecimal() and len(digits) < 9 else 1
