"""Reading in worker processes: nothing blocks, nothing hostile gets far, nothing is left."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import anyio
import pytest

from mcp_servers.web.reading.reader import MOST_BYTES, Reader
from mcp_servers.web.reading.reader import read as read_once
from tests.mcp_servers.web.reading.paper import PROSE, docx, page, paragraphs, pdf, zipped

URL = "https://press.example/x"
GOOD = page(f"<h1>The harbour</h1>{paragraphs(PROSE, PROSE[::-1])}").encode()


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    async with Reader(workers=2, timeout_s=60) as reader:
        yield reader


async def test_a_page_is_read_in_another_process(reader: Reader) -> None:
    found = await reader.read(GOOD, "text/html", URL)
    assert found.status == "ok"
    assert PROSE in found.markdown


async def test_one_page_can_be_read_without_a_reader() -> None:
    assert PROSE in (await read_once(GOOD, "text/html", URL)).markdown


async def test_many_pages_at_a_time_get_each_their_own_answer(reader: Reader) -> None:
    async def check(number: int) -> None:
        body = page(f"<h1>T{number}</h1>{paragraphs(PROSE)}", title=f"T{number}").encode()
        assert (await reader.read(body, "text/html", URL)).title == f"T{number}"

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(check, number)


async def test_a_document_that_takes_too_long_is_given_up_and_the_next_is_read() -> None:
    async with Reader(workers=1, timeout_s=0.001) as hasty:
        found = await hasty.read(GOOD, "text/html", URL)
    assert (found.status, found.markdown) == ("timeout", "")
    assert "too long" in found.note


async def test_a_caller_who_leaves_does_not_get_his_answer_to_the_next(reader: Reader) -> None:
    with anyio.move_on_after(0.01):
        await reader.read(page(paragraphs(*[PROSE] * 500), title="left").encode(), "text/html", URL)
    assert (await reader.read(GOOD, "text/html", URL)).title == "The harbour"


HOSTILE = {
    "deep": b"<div>" * 200_000 + PROSE.encode(),
    "deep inline": b"<b><i>" * 100_000 + PROSE.encode(),
    "deep lists": b"<ul><li>" * 50_000 + PROSE.encode(),
    "deep tables": b"<table><tr><td>" * 20_000 + PROSE.encode(),
    "unclosed": b"<p " + b"a='b' " * 200_000,
    "wide cells": b"<table>" + b"<tr><td colspan=99999999 rowspan=99999999>x</td></tr>" * 300 + b"</table>",
    "entities": b"&amp;" * 300_000,
    "control letters": b"<p>\x00\x01\x0b&#0;&#11;" + PROSE.encode() + b"</p>",
    "laughs": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)
    ) + b"]><rss><channel><title>&j;</title><item><title>x</title></item></channel></rss>",
    "json": b"[" * 1_000_000,
    "pdf": pdf("x").replace(b"/Count 1", b"/Count 99999999"),
    "half a pdf": pdf("The harbour")[:400],
    "half a docx": docx("<w:p/>")[:-80],
    "docx without words": docx("<w:nonsense>" * 500),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_document_ends_with_a_status(reader: Reader, name: str) -> None:
    found = await reader.read(HOSTILE[name], None, URL)
    assert found.status in ("ok", "empty", "unsupported_type", "timeout", "needs_browser")
    assert found.status == "ok" or found.note
    assert len(found.markdown) < 4_000_000
    assert (await reader.read(GOOD, "text/html", URL)).status == "ok"


@pytest.mark.slow
async def test_an_office_file_that_unpacks_to_gigabytes_is_refused_unread(reader: Reader) -> None:
    bomb = zipped(
        {"[Content_Types].xml": "<Types/>", "word/document.xml": b"<a>" + b" " * 300_000_000}
    )
    assert len(bomb) < 1_000_000
    found = await reader.read(bomb, None, URL)
    assert (found.kind, found.status) == ("docx", "unsupported_type")
    assert "unpacks to more" in found.note


@pytest.mark.slow
async def test_a_pdf_whose_page_unpacks_to_gigabytes_ends_within_the_limits(reader: Reader) -> None:
    packer = zlib.compressobj(9)
    piece = b"BT /F1 12 Tf (x) Tj ET\n" * 50_000
    stream = b"".join(packer.compress(piece) for _ in range(300)) + packer.flush()
    plain = pdf("MARK")
    start = plain.index(b"<< /Length", plain.index(b"5 0 obj"))
    end = plain.index(b"endstream", start)
    head = b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(stream)
    found = await reader.read(plain[:start] + head + stream + b"\n" + plain[end:], None, URL)
    assert found.kind == "pdf"
    assert found.status in ("ok", "empty", "unsupported_type", "timeout")
    assert (await reader.read(GOOD, "text/html", URL)).status == "ok"


@pytest.mark.slow
async def test_a_page_of_twenty_megabytes_is_read_as_far_as_it_may_be(reader: Reader) -> None:
    body = page(paragraphs(*[f'{PROSE[:60]} <a href="x">{PROSE[:20]}</a>.'] * 180_000)).encode()
    assert len(body) > 19_000_000
    found = await reader.read(body, "text/html", URL)
    assert found.status == "ok"
    assert "Only the first" in found.note


async def test_a_document_beyond_the_limit_is_not_even_begun(reader: Reader) -> None:
    found = await reader.read(b"x" * (MOST_BYTES + 1), "text/plain", URL)
    assert found.status == "unsupported_type"
    assert "too large" in found.note
