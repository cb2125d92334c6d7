"""Finding tools by name, and the names themselves."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import BadArguments, ToolNotFound
from wire.faces.catalogue import ToolIndex
from wire.models import ToolInfo


def tool(server: str, name: str, schema: object = None) -> ToolInfo:
    return ToolInfo(server=server, name=name, definition={"inputSchema": schema or {}})


@given(st.text(min_size=1, max_size=100))
def test_a_qualified_name_is_always_one_that_model_providers_accept(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool("box", name).qualified)


@given(st.lists(st.text(min_size=1, max_size=80), unique=True, max_size=30))
def test_two_tools_never_share_a_qualified_name(names: list[str]) -> None:
    qualified = {tool("box", name).qualified for name in names}
    assert len(qualified) == len(names)


def test_a_long_name_is_found_by_its_shortened_form() -> None:
    long = tool("box", "x" * 90)
    assert ToolIndex([long]).find(long.qualified).info == long


def test_an_unusable_schema_lets_arguments_pass_unchecked() -> None:
    index = ToolIndex([tool("box", "odd", {"type": "no such type"})])
    index.find("odd").check({"anything": 1})


def test_a_schema_that_refers_to_a_url_is_never_fetched() -> None:
    index = ToolIndex([tool("box", "far", {"$ref": "http://127.0.0.1:1/schema.json"})])
    index.find("far").check({"anything": 1})


def test_a_compiled_checker_is_kept_while_the_tool_stays_the_same() -> None:
    same, changed = tool("box", "same", {"type": "object"}), tool("box", "new", {"required": ["a"]})
    first = ToolIndex([same, tool("box", "new")])
    second = ToolIndex([same, changed], first)
    assert second.find("same") is first.find("same")
    with pytest.raises(BadArguments):
        second.find("new").check({})


def test_a_server_limits_the_search() -> None:
    index = ToolIndex([tool("a", "say"), tool("b", "sing")])
    with pytest.raises(ToolNotFound, match="tool server 'b'"):
        index.find("say", "b")
