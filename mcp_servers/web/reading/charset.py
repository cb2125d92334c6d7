"""Which characters the bytes of a text stand for: declared somewhere, or found out."""

from __future__ import annotations

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_IN_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_IN_DOCUMENT = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w:.-]+)|^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w:.-]+)",
    re.IGNORECASE,
)
_AS_BROWSERS_DO = {
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "latin-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
    "ascii": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "korean": "cp949",
    "big5": "big5hkscs",
    "x-user-defined": "cp1252",
}
"""Labels that mean more than they say, as the WHATWG's Encoding Standard lists them."""

_SAMPLE = 200_000
_LOOK = 4096


def decode(body: bytes, content_type: str | None) -> str:
    """Return the text; what cannot be read becomes U+FFFD.

    A BOM is believed first, then UTF-8 that is valid throughout, then what header and document
    declare unless the bytes contradict it, then what the bytes look like.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body.decode(name, "replace")
    declared = [name for name in (_header(content_type), _document(body)) if name]
    if (
        not any(name.startswith("utf-16") for name in declared)
        and ("iso2022_jp" not in declared or b"\x1b$" not in body)
        and (text := _utf8(body)) is not None
    ):
        return text
    for name in declared:
        text = body.decode(name, "replace")
        if text.count("\ufffd") <= len(text) // 200 + 2:
            return text
    return body.decode(_looks_like(body), "replace")


def _header(content_type: str | None) -> str | None:
    found = _IN_HEADER.search(content_type or "")
    return _known(found[1]) if found else None


def _document(body: bytes) -> str | None:
    found = _IN_DOCUMENT.search(body[:_LOOK])
    if found is None:
        return None
    name = _known((found[1] or found[2]).decode("ascii"))
    # It was read as ASCII, so it cannot be UTF-16.
    return "utf-8" if name and name.startswith("utf-16") else name


def _known(label: str) -> str | None:
    label = label.strip().lower()
    name = _AS_BROWSERS_DO.get(label, label)
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    text_only = getattr(found, "_is_text_encoding", True)
    return (
        found.name
        if text_only and not found.name.startswith(("idna", "punycode", "unicode", "raw_unicode"))
        else None
    )


def _utf8(body: bytes) -> str | None:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        # A body that was cut in the middle of a letter is UTF-8 all the same.
        if error.start >= len(body) - 4:
            return body.decode("utf-8", "replace")
    text = body.decode("utf-8", "replace")
    letters = sum(1 for letter in text if letter > "\x7f")
    return text if text.count("\ufffd") * 50 < letters else None


def _looks_like(body: bytes) -> str:
    from charset_normalizer import from_bytes

    markup = re.compile(rb"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
    sample = markup.sub(b" ", body[:_SAMPLE])
    sample = re.sub(rb"\s+", b" ", sample)
    for name in ("gb18030", "cp932", "euc_jp", "cp949", "big5hkscs"):
        if _fits(sample, name):
            return name
    best = from_bytes(sample).best()
    return _AS_BROWSERS_DO.get(best.encoding, best.encoding) if best else "cp1252"


def _fits(sample: bytes, name: str) -> bool:
    """Tell whether a sample is East Asian text in this encoding, by the letters it would hold."""
    try:
        text = sample[: len(sample) & ~1].decode(name)
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 4:
            return False
        text = sample[: error.start].decode(name)
    wide = [letter for letter in text if letter > "\x7f"]
    if len(wide) < 8:
        return False
    expected = _FREQUENT[name]
    return sum(letter in expected for letter in wide) / len(wide) > _ENOUGH[name]


_CHINESE = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年，。、："
)
_TAIWANESE = frozenset(
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年，。、："
)
_KANA = frozenset(chr(code) for code in range(0x3041, 0x30FF)) | frozenset("、。")
_HANGUL = frozenset("이다는을의에가고하지로한도은들를사아나대있그어리기인자시서라해일정보만")
_FREQUENT = {
    "gb18030": _CHINESE,
    "cp932": _KANA,
    "euc_jp": _KANA,
    "cp949": _HANGUL,
    "big5hkscs": _TAIWANESE,
}
_ENOUGH = {"gb18030": 0.12, "cp932": 0.3, "euc_jp": 0.3, "cp949": 0.25, "big5hkscs": 0.12}
