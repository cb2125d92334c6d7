"""What tables claim to span is believed as far as a page can have it."""

from __future__ import annotations

from lxml import html

from mcp_servers.web.reading.selection import suggest
from mcp_servers.web.reading.tables import bound_spans

ROW = "<tr><td colspan=9999 rowspan=9999>cell</td></tr>"


def test_spans_that_claim_more_than_a_page_has_are_not_handed_on() -> None:
    root = html.fromstring(f"<table>{ROW * 300}</table>")
    bound_spans(root)
    assert root.xpath("count(//*[@colspan or @rowspan])") == 0


def test_spans_of_a_real_table_stay() -> None:
    root = html.fromstring("<table><tr><td colspan=3 rowspan=2>a</td></tr></table>" * 100)
    bound_spans(root)
    assert root.xpath("count(//td[@colspan = 3 and @rowspan = 2])") == 100


def test_another_extractor_writes_no_more_cells_than_a_page_has() -> None:
    root = html.fromstring(f"<body><p>{'Words. ' * 40}</p><table>{ROW * 20}</table></body>")
    assert suggest(root, "").count("|") < 1000
    assert root.xpath("count(//td[@colspan])") == 20
