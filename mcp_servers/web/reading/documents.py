"""Reads one document of any kind. Everything here may be slow or die: it runs in a worker."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace

from lxml import etree

from mcp_servers.web.page import Page
from mcp_servers.web.reading import data, feeds, hypertext, office, pdf, statuses
from mcp_servers.web.reading.charset import decode
from mcp_servers.web.reading.dom import parse, visible
from mcp_servers.web.reading.hidden import drop_hidden
from mcp_servers.web.reading.kinds import kind_of
from mcp_servers.web.reading.markdown import render

MOST_HTML = 6_000_000
"""Characters of HTML that are read; the rest is left out, and the page says so."""


@dataclass(frozen=True, slots=True)
class Job:
    """One document to read.

    Args:
        body: Its bytes, unpacked.
        content_type: The header as it came, if it came.
        url: Where it came from in the end.
        http_status: The status it came with.
    """

    body: bytes
    content_type: str | None
    url: str
    http_status: int = 200


def read(job: Job) -> Page:
    """Return the page; never raises for what is in the document."""
    kind = kind_of(job.body, job.content_type, job.url)
    verdict = statuses.of_http(job.http_status)
    empty = Page(job.url, "", "", kind)
    if not job.body.strip():
        page = replace(empty, status="empty", note="The answer has no content.")
    elif kind == "unknown":
        said = (job.content_type or "of no declared type").split(";")[0]
        page = replace(
            empty, status="unsupported_type", note=f"It is no text that can be read ({said})."
        )
    else:
        page = _READERS[kind](job, empty)
    return _with_http(page, verdict).tidy()


def _with_http(page: Page, verdict: statuses.Verdict) -> Page:
    """Combine what the page says with what the HTTP status says; a CAPTCHA explains a 403."""
    if verdict.status == "ok" or page.status in ("captcha", "login_wall"):
        return page
    return replace(
        page,
        status=verdict.status,
        note=verdict.note,
        markdown=page.markdown if verdict.keeps else "",
    )


def _html(job: Job, page: Page) -> Page:
    whole = decode(job.body, job.content_type)
    source = whole[:MOST_HTML]
    document = hypertext.read(source, job.url)
    page = replace(
        page,
        title=document.about.title,
        author=document.about.author,
        date=document.about.date,
        markdown=document.markdown,
    )
    if document.root is None:
        return replace(page, status="empty", note="The page holds no text that can be read.")
    verdict = statuses.of_page(
        document.root, page.title, document.shown, document.markdown, source, job.url
    )
    markdown = document.markdown if verdict.keeps else ""
    cut = f"Only the first {MOST_HTML} characters of its HTML were read." if whole != source else ""
    return replace(page, markdown=markdown, status=verdict.status, note=verdict.note or cut)


def _pdf(job: Job, page: Page) -> Page:
    try:
        found = pdf.read(job.body)
    except pdf.Locked:
        return replace(page, status="login_wall", note="The PDF is locked with a password.")
    except pdf.Broken:
        return replace(
            page, status="unsupported_type", note="The PDF is broken and cannot be read."
        )
    page = replace(
        page, title=found.title, author=found.author, date=found.date, markdown=found.markdown
    )
    if not found.markdown:
        note = f"The PDF has {found.pages} page(s) without text: they are pictures."
        return replace(page, status="empty", note=note)
    if found.cut:
        return replace(page, note=f"Only the first part of its {found.pages} pages was read.")
    return page


def _office(make: Callable[[bytes], str]) -> Callable[[Job, Page], Page]:
    def read_file(job: Job, page: Page) -> Page:
        try:
            office.check(job.body)
            markdown = make(job.body)
        except office.TooBig:
            note = "The file unpacks to more than is read."
            return replace(page, status="unsupported_type", note=note)
        except MemoryError:
            raise
        except (office.Broken, *_BROKEN):
            note = f"The {page.kind} file is broken and cannot be read."
            return replace(page, status="unsupported_type", note=note)
        if not markdown:
            return replace(page, status="empty", note="The file holds no text.")
        return replace(page, title=office.title(job.body), markdown=markdown)

    return read_file


_BROKEN = (
    zipfile.BadZipFile, etree.LxmlError, ValueError, LookupError, AttributeError, TypeError,
    OSError, ArithmeticError, RecursionError, NotImplementedError, EOFError,
)  # fmt: skip
"""What libraries raise for files that are not as they expect."""


def _docx(body: bytes) -> str:
    root = parse(f"<html><body>{office.docx(body)}</body></html>")
    if root is None:
        return ""
    drop_hidden(root)
    return render(root, "")


def _text(job: Job, page: Page) -> Page:
    text = decode(job.body, job.content_type).replace("\r\n", "\n").replace("\x00", "")
    return replace(page, markdown=text.strip("\n"))


def _json(job: Job, page: Page) -> Page:
    return replace(page, markdown=data.pretty_json(decode(job.body, job.content_type)))


def _csv(job: Job, page: Page) -> Page:
    return replace(page, markdown=data.csv_table(decode(job.body, job.content_type)))


def _xml(job: Job, page: Page) -> Page:
    return replace(page, markdown=data.fenced(decode(job.body, job.content_type), "xml"))


def _feed(job: Job, page: Page) -> Page:
    root = feeds.xml_root(job.body)
    if root is None:
        return _xml(job, page)
    title, markdown = feeds.feed(root, job.url)
    if not markdown:
        return replace(page, title=title, status="empty", note="The feed has no entries.")
    return replace(page, title=visible(title), markdown=markdown)


_READERS: dict[str, Callable[[Job, Page], Page]] = {
    "html": _html,
    "pdf": _pdf,
    "docx": _office(_docx),
    "xlsx": _office(office.xlsx),
    "pptx": _office(office.pptx),
    "text": _text,
    "json": _json,
    "csv": _csv,
    "xml": _xml,
    "feed": _feed,
}
