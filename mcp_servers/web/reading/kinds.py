"""What a document is: by its first bytes, then by its content type, then by its name."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import PurePosixPath
from urllib.parse import urlsplit

_BY_TYPE = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
    "application/json": "json",
    "text/json": "json",
    "application/x-ndjson": "text",
    "application/jsonl": "text",
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/rss+xml": "feed",
    "application/atom+xml": "feed",
    "application/feed+json": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/markdown": "text",
    "text/plain": "text",
    "application/javascript": "text",
    "text/javascript": "text",
    "application/yaml": "text",
    "application/toml": "text",
    "application/sql": "text",
    "application/x-tex": "text",
    "application/x-sh": "text",
    "application/x-yaml": "text",
    "message/rfc822": "text",
}
_BY_NAME = {
    ".htm": "html",
    ".html": "html",
    ".xhtml": "html",
    ".json": "json",
    ".geojson": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".xml": "xml",
    ".rss": "feed",
    ".atom": "feed",
}
_IN_ZIP = {"word/": "docx", "xl/": "xlsx", "ppt/": "pptx"}
_BINARY = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf",
    b"Rar!", b"\x7fELF", b"MZ\x90", b"\x00\x00\x00", b"ID3", b"OggS", b"\xd0\xcf\x11\xe0", b"wOF",
)  # fmt: skip
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|meta|div|script|table|p|h1|a|br)\b", re.IGNORECASE
)
_FEED = re.compile(rb"<(?:rss|rdf:RDF|feed)\b")
_XML = re.compile(rb"<\?xml\b|<[A-Za-z_][\w:.-]*[\s/>]")
_LOOK = 2048


def kind_of(body: bytes, content_type: str | None, url: str) -> str:
    """Return html, pdf, docx, xlsx, pptx, text, json, csv, xml, feed, or unknown."""
    start = body[:_LOOK].lstrip(b"\xef\xbb\xbf \t\r\n\f")
    if b"%PDF-" in body[:1024]:
        return "pdf"
    if body.startswith(b"PK\x03\x04"):
        return _in_zip(body)
    if start.startswith(_BINARY) and not body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "unknown"
    said = (content_type or "").split(";")[0].strip().lower()
    by_type = _BY_TYPE.get(said) or _by_family(said)
    if by_type in ("html", "json", "csv", "feed"):
        return _marked_up(start, by_type)
    if by_type == "xml":
        return _marked_up(start, "xml") if not _xhtml(start) else "html"
    if by_type == "text":
        return _plain(start, said, url)
    if _looks_binary(body[:_LOOK]):
        return "unknown"
    return _plain(start, "", url)


def _by_family(said: str) -> str | None:
    if said.endswith("+json"):
        return "json"
    if said.endswith("+xml"):
        return "xml"
    return "text" if said.startswith("text/") else None


def _marked_up(start: bytes, kind: str) -> str:
    """Correct a type by what the text begins with: servers send HTML and feeds under any name."""
    if kind == "html":
        return "feed" if start.startswith(b"<?xml") and _FEED.search(start) else "html"
    if kind in ("json", "csv"):
        return "html" if start[:1] == b"<" and _HTML.match(start) else kind
    return "feed" if _FEED.search(start) else "xml"


def _xhtml(start: bytes) -> bool:
    return (
        b"http://www.w3.org/1999/xhtml" in start
        or re.search(rb"<!doctype html", start, re.IGNORECASE) is not None
    )


def _plain(start: bytes, said: str, url: str) -> str:
    if said == "text/markdown":
        return "text"
    if start[:1] == b"<":
        if _HTML.match(start) or _xhtml(start):
            return "html"
        if _FEED.search(start):
            return "feed"
        if _XML.match(start) and start.startswith(b"<?xml"):
            return "xml"
    try:
        name = PurePosixPath(urlsplit(url).path).suffix.lower()
    except ValueError:
        name = ""
    by_name = _BY_NAME.get(name)
    if by_name in ("json", "csv"):
        return by_name
    if not said and by_name:
        return by_name
    if not said and start[:1] in (b"{", b"["):
        return "json"
    return "text"


def _in_zip(body: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = archive.namelist()[:2000]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return "unknown"
    if "[Content_Types].xml" not in names:
        return "unknown"
    for folder, kind in _IN_ZIP.items():
        if any(name.startswith(folder) for name in names):
            return kind
    return "unknown"


def _looks_binary(sample: bytes) -> bool:
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    return (
        b"\x00" in sample
        or sum(b < 9 or 13 < b < 27 or 27 < b < 32 for b in sample) > len(sample) // 20
    )
