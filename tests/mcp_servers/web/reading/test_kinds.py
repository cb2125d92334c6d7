"""Each kind of document is recognised and read."""

from __future__ import annotations

import io
import json

import openpyxl
import pptx
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mcp_servers.web.page import Page
from mcp_servers.web.reading import data, office
from mcp_servers.web.reading.data import pretty_json
from mcp_servers.web.reading.documents import Job, read
from mcp_servers.web.reading.kinds import kind_of
from tests.mcp_servers.web.reading.paper import PROSE, docx, page, pdf, zipped

URL = "https://press.example/file"


def reading(body: bytes, content_type: str | None = None, url: str = URL) -> Page:
    return read(Job(body, content_type, url))


@pytest.mark.parametrize(
    ("body", "content_type", "name", "kind"),
    [
        (b"%PDF-1.7 ...", "text/html", "x", "pdf"),
        (b"\n<!DOCTYPE html><p>a", None, "x", "html"),
        (b"<!DOCTYPE html><p>a", "text/plain", "x", "html"),
        (b"<!DOCTYPE html><p>a", "application/json", "x", "html"),
        (b"plain words", "text/html", "x", "html"),
        (b"plain words", "text/plain; charset=utf-8", "x", "text"),
        (b"plain words", None, "x", "text"),
        (b"# words", "text/markdown", "x.md", "text"),
        (b'{"a": 1}', "application/json", "x", "json"),
        (b'{"a": 1}', "application/ld+json", "x", "json"),
        (b'{"a": 1}', None, "x", "json"),
        (b'{"a": 1}', "text/plain", "x.json", "json"),
        (b"a,b\n1,2", "text/csv", "x", "csv"),
        (b"a,b\n1,2", "application/octet-stream", "x.csv", "csv"),
        (b"<?xml version='1.0'?><rss><channel/></rss>", "text/xml", "x", "feed"),
        (b"<?xml version='1.0'?><feed xmlns='http://www.w3.org/2005/Atom'/>", "text/html", "x", "feed"),
        (b"<?xml version='1.0'?><note/>", "application/xml", "x", "xml"),
        (b"<html xmlns='http://www.w3.org/1999/xhtml'><p>a", "application/xhtml+xml", "x", "html"),
        (b"\x89PNG\r\n\x1a\n....", "image/png", "x", "unknown"),
        (b"\x89PNG\r\n\x1a\n....", "text/html", "x", "unknown"),
        (b"\x00\x01\x02\x03\x00", "application/octet-stream", "x", "unknown"),
        (zipped({"a.txt": "a"}), "application/zip", "x", "unknown"),
    ],
)  # fmt: skip
def test_a_document_is_taken_for_what_it_is(
    body: bytes, content_type: str | None, name: str, kind: str
) -> None:
    assert kind_of(body, content_type, f"https://press.example/{name}") == kind


def test_a_pdf_is_read_page_by_page_with_what_it_says_about_itself() -> None:
    found = reading(pdf("The harbour lies\nin a bay", "Second page", title="The harbour"))
    assert found == Page(
        URL, "The harbour", "## Page 1\n\nThe harbour lies\nin a bay\n\n## Page 2\n\nSecond page",
        "pdf", "ok", "", "A. Writer", "2026-02-03",
    )  # fmt: skip


def test_a_pdf_without_text_says_that_it_holds_pictures() -> None:
    found = reading(pdf(""))
    assert found.status == "empty"
    assert "pictures" in found.note


def test_a_word_file_keeps_headings_and_tables() -> None:
    def words(text: str, style: str = "") -> str:
        mark = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        return f"<w:p>{mark}<w:r><w:t>{text}</w:t></w:r></w:p>"

    cells = [f"<w:tc>{words(text)}</w:tc>" for text in ("Year", "Ships", "1890", "42")]
    rows = f"<w:tr>{cells[0]}{cells[1]}</w:tr><w:tr>{cells[2]}{cells[3]}</w:tr>"
    found = reading(docx(f"{words('The harbour', 'Heading1')}{words(PROSE)}<w:tbl>{rows}</w:tbl>"))
    assert (found.kind, found.status) == ("docx", "ok")
    assert PROSE in found.markdown
    assert "| Year | Ships |\n| --- | --- |\n| 1890 | 42 |" in found.markdown


def test_an_excel_file_becomes_a_table_for_each_sheet() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Ships"
    sheet.append(["Year", "Count"])
    sheet.append([1890, 42.0])
    sheet.append([])
    sheet.append([1891, None, "a | b"])
    book.create_sheet("Notes")["B2"] = "none"
    into = io.BytesIO()
    book.save(into)
    found = reading(into.getvalue())
    assert found.kind == "xlsx"
    assert found.markdown == (
        "## Ships\n\n| Year | Count |  |\n| --- | --- | --- |\n| 1890 | 42 |  |\n| 1891 |  |"
        " a \\| b |\n\n"
        "## Notes\n\n|  | none |\n| --- | --- |"
    )


def test_a_powerpoint_file_becomes_a_heading_for_each_slide() -> None:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "The harbour"
    slide.placeholders[1].text = "A bay\nA bell"
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    into = io.BytesIO()
    show.save(into)
    found = reading(into.getvalue())
    assert found.kind == "pptx"
    assert found.markdown == "## Slide 1: The harbour\n\n- A bay\n- A bell\n\nNotes: Say it slowly."


def test_plain_text_stays_as_it_is() -> None:
    text = "first line\n\n    indented <b>not</b> HTML & *not* Markdown\nlast"
    found = reading(text.encode(), "text/plain")
    assert (found.kind, found.markdown) == ("text", text)


def test_json_is_indented_and_keeps_every_value() -> None:
    value = {"名": [1, 2.5, None, {"deep": True}], "b": "x"}
    found = reading(json.dumps(value).encode(), "application/json")
    assert json.loads(found.markdown.removeprefix("```json\n").removesuffix("\n```")) == value
    assert "名" in found.markdown


def test_the_numbers_of_json_stay_as_they_are_written() -> None:
    numbers = ["1.0", "1.10", "1e400", "-0", "-0.0", "0.1000", "1E+2", "9" * 5000, "1e-9999"]
    pairs = ",".join(f'"{place}":{number}' for place, number in enumerate(numbers))
    found = reading(f"[{{{pairs}}}, [ ] , {{ }}, true]".encode(), "application/json").markdown
    lines = [f'  "{place}": {number},' for place, number in enumerate(numbers)]
    lines[-1] = lines[-1].rstrip(",")
    assert found.splitlines() == [
        *("```json", "[", " {", *lines, " },", " [],", " {},", " true", "]", "```")
    ]


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.text(),
        lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    )
)
def test_json_is_indented_as_the_standard_library_does(value: object) -> None:
    said = json.dumps(value, ensure_ascii=False, indent=1)
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, separators=(",", ":"))):
        assert pretty_json(text).split("\n", 1)[1].rpartition("\n")[0] == said


@pytest.mark.parametrize("text", ["[1,]", "{1: 2}", "[01]", "[1] 2", '{"a" 1}', "[" * 100_000])
def test_what_is_nearly_json_comes_as_it_is(text: str) -> None:
    assert reading(text.encode(), "application/json").markdown == f"```json\n{text}\n```"


def test_json_that_is_broken_comes_as_it_is() -> None:
    assert reading(b'{"a": ', "application/json").markdown == '```json\n{"a": \n```'


@pytest.mark.parametrize("text", ['a,b\n1,"x, | y"\n', 'a;b\n1;"x, | y"\n', "a\tb\n1\tx, | y\n"])
def test_separated_values_become_a_table(text: str) -> None:
    found = reading(text.encode(), "text/csv")
    assert found.markdown == "| a | b |\n| --- | --- |\n| 1 | x, \\| y |"


def test_xml_is_kept_in_a_fence() -> None:
    body = b"<?xml version='1.0'?><note><to>Mina</to></note>"
    assert reading(body, "application/xml").markdown == f"```xml\n{body.decode()}\n```"


def test_a_feed_becomes_a_heading_for_each_entry() -> None:
    body = f"""<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>Harbour news</title>
    <description>What comes in</description><item><title>A ship &amp; a boat</title><link>https://press.example/1</link>
    <pubDate>Mon, 02 Mar 2026 10:00:00 GMT</pubDate><description>&lt;p&gt;{PROSE}&lt;/p&gt;</description></item>
    </channel></rss>"""
    found = reading(body.encode(), "application/rss+xml")
    assert (found.kind, found.title) == ("feed", "Harbour news")
    assert found.markdown == (
        "What comes in\n\n## [A ship & a boat](https://press.example/1)\n\n"
        f"Mon, 02 Mar 2026 10:00:00 GMT\n\n{PROSE}"
    )


def test_an_atom_feed_is_read_too() -> None:
    body = f"""<feed xmlns="http://www.w3.org/2005/Atom"><title>Harbour</title><entry><title>One</title>
    <link rel="alternate" href="/one"/><updated>2026-03-02</updated><author><name>Mina</name></author>
    <content type="html">{PROSE}</content></entry></feed>"""
    found = reading(body.encode(), "application/atom+xml")
    assert found.markdown == f"## [One](https://press.example/one)\n\n2026-03-02, Mina\n\n{PROSE}"


def test_a_feed_that_is_cut_says_so() -> None:
    def feed_of(entries: int) -> str:
        items = "".join(f"<item><title>Ship {n}</title></item>" for n in range(entries))
        body = f"<?xml version='1.0'?><rss><channel><title>a</title>{items}</channel></rss>"
        return reading(body.encode(), "application/rss+xml").markdown

    assert feed_of(500).endswith("## Ship 499")
    assert feed_of(777).endswith("## Ship 499\n\n(Only the first 500 of 777 entries are shown.)")


def test_a_table_that_is_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (data, office):
        monkeypatch.setattr(module, "MOST_ROWS", 3)
    whole, cut = "a,b\n1,2\n3,4\n\n", "a,b\n1,2\n3,4\n5,6\n7,8\n"
    assert data.csv_table(whole).endswith("| 3 | 4 |")
    said = "| 3 | 4 |\n\n(Only the first 3 rows are shown; there are more.)"
    assert data.csv_table(cut).endswith(said)
    book = openpyxl.Workbook()
    for row in cut.split():
        book.active.append(row.split(","))
    into = io.BytesIO()
    book.save(into)
    assert office.xlsx(into.getvalue()).endswith(said)


def test_what_cannot_be_read_says_so() -> None:
    found = reading(b"\x89PNG\r\n\x1a\n1234", "image/png")
    assert (found.status, found.markdown) == ("unsupported_type", "")
    assert "image/png" in found.note


def test_an_answer_without_content_says_so() -> None:
    assert reading(b" \n", "text/html").status == "empty"


def test_a_page_that_was_sent_as_a_download_is_still_a_page() -> None:
    found = reading(
        page(f"<h1>The harbour</h1><p>{PROSE}</p>").encode(), "application/octet-stream"
    )
    assert found.kind == "html"
    assert PROSE in found.markdown
