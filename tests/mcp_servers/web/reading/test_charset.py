"""Bytes become the right letters, declared or not."""

from __future__ import annotations

import pytest

from mcp_servers.web.reading.charset import decode
from tests.mcp_servers.web.reading.paper import CHINESE, JAPANESE, KOREAN, PROSE, RUSSIAN

FRENCH = "Où est passé l’été ? Ça dépend — « peut-être » près du château. " * 3
CODED = [
    (CHINESE, "gbk"),
    (CHINESE, "gb18030"),
    (CHINESE, "utf-8"),
    (JAPANESE, "shift_jis"),
    (JAPANESE, "euc_jp"),
    (KOREAN, "euc_kr"),
    (RUSSIAN, "windows-1251"),
    (RUSSIAN, "koi8-r"),
    (FRENCH, "windows-1252"),
]


@pytest.mark.parametrize(("text", "name"), CODED)
def test_what_the_header_declares_is_believed(text: str, name: str) -> None:
    assert decode(text.encode(name), f'text/html; charset="{name}"') == text


@pytest.mark.parametrize(("text", "name"), CODED)
def test_what_the_document_declares_is_believed(text: str, name: str) -> None:
    body = f'<html><head><meta http-equiv="content-type" content="text/html; charset={name}">{text}'
    assert decode(body.encode(name), "text/html") == body


@pytest.mark.parametrize(("text", "name"), CODED)
def test_what_nobody_declares_is_found_out(text: str, name: str) -> None:
    body = f"<html><head><title>{text[:20]}</title></head><body><p>{text}</p></body></html>"
    assert decode(body.encode(name), None) == body


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_wins_over_every_declaration(name: str) -> None:
    assert decode(JAPANESE.encode(name), "text/html; charset=windows-1252") == JAPANESE


def test_utf_8_that_is_declared_as_something_else_is_utf_8() -> None:
    assert decode(CHINESE.encode(), "text/html; charset=iso-8859-1") == CHINESE


def test_a_declaration_that_the_bytes_contradict_is_not_believed() -> None:
    body = JAPANESE.encode("shift_jis")
    assert decode(body, "text/html; charset=utf-8") == JAPANESE


def test_latin_1_means_windows_1252_as_in_browsers() -> None:
    assert decode("“so” — 5 €".encode("cp1252"), "text/html; charset=ISO-8859-1") == "“so” — 5 €"


@pytest.mark.parametrize("name", ["no-such-thing", "zip", "rot13", "unicode_escape", "utf-16"])
def test_a_name_that_is_no_character_set_is_passed_over(name: str) -> None:
    body = f'<meta charset="{name}">{PROSE}'
    assert decode(body.encode(), "text/html") == body


def test_a_body_that_is_cut_within_a_letter_is_still_utf_8() -> None:
    assert decode(CHINESE.encode()[:-1], None)[:-1] == CHINESE[:-1]
