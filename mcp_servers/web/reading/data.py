"""JSON, CSV and XML as text that a model reads: nothing within the limits is left out."""

from __future__ import annotations

import csv
import io
import json

from mcp_servers.web.reading.office import table

MOST_ROWS = 100_000


def fenced(text: str, language: str) -> str:
    """Return text as a block of code, verbatim."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def pretty_json(text: str) -> str:
    """Return JSON indented, in the order it came; what is not JSON comes back as it is."""
    try:
        return fenced(json.dumps(json.loads(text), ensure_ascii=False, indent=1), "json")
    except (ValueError, RecursionError):
        return fenced(text, "json")


def csv_table(text: str) -> str:
    """Return comma-, semicolon- or tab-separated values as a table."""
    sample = text[:20_000]
    try:
        dialect = csv.Sniffer().sniff(sample, ",;\t|")
        separator = dialect.delimiter
    except csv.Error:
        separator = "\t" if sample.count("\t") > sample.count(",") else ","
    rows = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) >= MOST_ROWS:
                break
    except csv.Error:
        return fenced(text, "csv")
    return table(rows)
