"""JSON, CSV and XML as text that a model reads: nothing within the limits is left out."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from itertools import islice

from mcp_servers.web.reading.office import table

MOST_ROWS = 100_000
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def fenced(text: str, language: str) -> str:
    """Return text as a block of code, verbatim."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def pretty_json(text: str) -> str:
    """Return JSON indented, in the order it came; what is not JSON comes back as it is.

    Numbers stay as they are written: read as numbers they would lose digits, zeros, or all.
    """
    try:
        json.loads(text, parse_float=str, parse_int=str)
        return fenced("".join(_indented(text)), "json")
    except (ValueError, RecursionError):
        return fenced(text, "json")


def _indented(text: str) -> Iterator[str]:
    """Yield the parts of valid JSON with space between them; escaped letters become readable."""
    depth, before = 0, ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "]}":
            depth -= 1
            if before not in "[{":
                yield f"\n{' ' * depth}"
        elif before and before in "[{,":
            yield f"\n{' ' * depth}"
        if token in "[{":
            depth += 1
        if token[0] == '"':
            yield json.dumps(json.loads(token), ensure_ascii=False)
        else:
            yield ": " if token == ":" else token
        before = token


def csv_table(text: str) -> str:
    """Return comma-, semicolon- or tab-separated values as a table."""
    sample = text[:20_000]
    try:
        dialect = csv.Sniffer().sniff(sample, ",;\t|")
        separator = dialect.delimiter
    except csv.Error:
        separator = "\t" if sample.count("\t") > sample.count(",") else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        rows = list(islice((row for row in lines if any(map(str.strip, row))), MOST_ROWS + 1))
    except csv.Error:
        return fenced(text, "csv")
    return table(rows[:MOST_ROWS], cut=len(rows) > MOST_ROWS)
