"""No series ends early, and what is kept keeps its heading."""

from __future__ import annotations

import numpy as np
import pytest

from mcp_servers.web.reading.completion import completed
from mcp_servers.web.reading.documents import Job, read
from mcp_servers.web.reading.dom import leaves, parse
from mcp_servers.web.reading.selection import words

URL = "https://site.example/page"


@pytest.mark.parametrize("count", [20, 60, 300])
def test_the_last_of_many_short_paragraphs_are_read(count: int) -> None:
    lines = "".join(f"<p>Para{n} apples.</p>" for n in range(count))
    page = f"<html><body><article><h1>Apples</h1>{lines}</article></body></html>"
    found = read(Job(page.encode(), "text/html", URL)).markdown
    assert [n for n in range(count) if f"Para{n} apples." not in found] == []


def test_every_part_keeps_its_heading() -> None:
    parts = "".join(
        f"<h2>Part {n}</h2><p>\N{RED APPLE} In part {n} the harbour of Elm is told of, and its"
        f" ships, which sail {n} times a year.</p>"
        for n in range(100)
    )
    page = f"<html><body><article><h1>The harbour</h1>{parts}</article></body></html>"
    found = read(Job(page.encode(), "text/html", URL)).markdown
    assert [n for n in range(100) if f"## Part {n}\n" not in found] == []


def test_what_is_unlike_the_rest_of_its_series_stays_out() -> None:
    lines = "<p>Ten words stand in each of these lines of the poem.</p>" * 9
    root = parse(f"<body><div>{lines}<p>Share</p></div><ul><li>a</li><li>b</li></ul></body>")
    assert root is not None
    blocks = leaves(root)
    sizes = np.array([words(block) for block in blocks], np.float64)
    kept = np.array([True] * 7 + [False] * (len(blocks) - 7))
    assert completed(blocks, sizes, kept).tolist() == [True] * 9 + [False] * (len(blocks) - 9)
