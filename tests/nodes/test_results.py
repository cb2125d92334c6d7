"""Results are not altered, except that a profile may limit their text."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.results import cut_texts


def message(*texts: str, **more: Any) -> dict[str, Any]:
    return {"result": {"content": [{"type": "text", "text": text} for text in texts], **more}}


def texts(document: dict[str, Any]) -> list[str]:
    return [part["text"] for part in document["result"]["content"]]


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("one\ntwo\nthree", 9, "one\ntwo\n[Result truncated]"),
        ("one\ntwo\nthree", 7, "one\ntwo\n[Result truncated]"),
        ("one\ntwo\nthree", 6, "one\n[Result truncated]"),
        ("a single long line", 8, "a single\n[Result truncated]"),
    ],
)
def test_a_text_over_the_limit_is_cut_at_a_line_end(text: str, limit: int, cut: str) -> None:
    document = message(text)
    assert cut_texts(document, limit)
    assert texts(document) == [cut]


def test_a_text_within_the_limit_is_left_alone() -> None:
    document = message("short", "also")
    assert not cut_texts(document, 9)
    assert texts(document) == ["short", "also"]


def test_all_text_parts_share_the_limit() -> None:
    document = message("12345", "67890", "abc")
    assert cut_texts(document, 7)
    assert texts(document) == ["12345", "67\n[Result truncated]", "[Result truncated]"]


def test_structured_content_and_other_parts_are_never_cut() -> None:
    document = message("long text", structuredContent={"text": "long text"})
    document["result"]["content"].append({"type": "image", "data": "x" * 99})
    assert cut_texts(document, 4)
    assert document["result"]["structuredContent"] == {"text": "long text"}
    assert document["result"]["content"][1]["data"] == "x" * 99


@pytest.mark.parametrize("odd", [{"error": {"code": 1}}, {"result": None}, {"result": {}}])
def test_what_is_no_result_is_left_alone(odd: dict[str, Any]) -> None:
    assert not cut_texts(odd, 1)
