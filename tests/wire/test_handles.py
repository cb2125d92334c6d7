"""Handles name their node and cannot be forged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.handles import node_of, prefix

SECRET = "0123456789abcdef"


def test_a_handle_names_its_node() -> None:
    assert node_of(SECRET, f"{prefix(SECRET, 'full-1')}.anything.at-all") == "full-1"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "default",
        "full-1.",
        "full-1.0000.x",
        None,
        7,
        prefix(SECRET, "full-1"),
        prefix("another secret!!", "full-1") + ".x",
        prefix(SECRET, "full-1").replace("full-1", "full-2") + ".x",
    ],
)
def test_anything_else_names_none(value: object) -> None:
    assert node_of(SECRET, value) is None


@given(st.text())
def test_no_text_makes_it_fail(value: str) -> None:
    assert node_of(SECRET, value) is None
