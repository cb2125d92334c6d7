"""Names under which agents know a tool or its arguments from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from wire.errors import BadArguments, ToolAmbiguous, ToolNotFound
from wire.faces.catalogue import ToolIndex
from wire.models import ToolInfo

SCHEMA = {
    "type": "object",
    "properties": {"code_block": {"type": "string"}, "sandbox_id": {"type": "string"}},
    "required": ["code_block"],
    "additionalProperties": False,
}
ALIASES = {"code": "code_block", "script": "code_block", "sandbox": "sandbox_id"}


def tool(
    server: str = "box",
    name: str = "run",
    schema: Any = SCHEMA,
    aliases: Any = ALIASES,
    names: Any = None,
) -> ToolInfo:
    found = {"agentdock/argument_aliases": aliases, "agentdock/names": names}
    return ToolInfo(server=server, name=name, definition={"inputSchema": schema, "_meta": found})


def checked(arguments: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return ToolIndex([tool(**fields)]).find("run").check(arguments)


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ({"code": "1"}, {"code_block": "1"}),
        ({"script": "1", "sandbox_id": "a"}, {"code_block": "1", "sandbox_id": "a"}),
        ({"sandbox": "a", "code": "1"}, {"sandbox_id": "a", "code_block": "1"}),
        ({"code_block": "1"}, {"code_block": "1"}),
    ],
)
def test_an_argument_is_taken_under_its_alias(sent: dict[str, Any], taken: dict[str, Any]) -> None:
    assert checked(sent) == taken


def test_arguments_that_fit_are_passed_on_as_they_are() -> None:
    sent = {"code": "1", "code_block": "2"}
    assert checked(sent, schema=SCHEMA | {"additionalProperties": True}) is sent


@pytest.mark.parametrize(
    "sent",
    [
        {"code": "1", "code_block": "2"},
        {"code": "1", "script": "2"},
        {"code": 1},
        {"kode": "1"},
        {},
    ],
)
def test_an_alias_excuses_nothing_else(sent: dict[str, Any]) -> None:
    with pytest.raises(BadArguments):
        checked(sent)


def test_the_fault_is_told_of_the_arguments_as_they_were_sent() -> None:
    with pytest.raises(BadArguments, match="code"):
        checked({"code": 1})


@pytest.mark.parametrize(
    "aliases",
    [
        None,
        "code",
        ["code"],
        {"code": 1},
        {"code": "no_such_argument"},
        {"code": {"code_block": 1}},
    ],
)
def test_aliases_of_another_form_are_ignored(aliases: Any) -> None:
    with pytest.raises(BadArguments):
        checked({"code": "1"}, aliases=aliases)
    assert checked({"code_block": "1"}, aliases=aliases)


def test_an_argument_of_the_tool_is_never_taken_for_an_alias() -> None:
    with pytest.raises(BadArguments):
        checked({"sandbox_id": "a"}, aliases={"sandbox_id": "code_block"})


@pytest.mark.parametrize(
    ("name", "server"),
    [("python", None), ("box__python", None), ("box.python", None), ("python", "box")],
)
def test_a_tool_is_found_under_its_other_names(name: str, server: str | None) -> None:
    index = ToolIndex([tool(names=["python", "python_code"])])
    assert index.find(name, server).info.name == "run"


def test_a_name_goes_to_the_tool_whose_own_it_is() -> None:
    index = ToolIndex([tool("a", names=["python"]), tool("b", "python")])
    assert index.find("python").info.server == "b"
    assert index.find("python", "a").info.name == "run"


def test_another_name_that_two_tools_share_is_ambiguous() -> None:
    index = ToolIndex([tool("a", names=["python"]), tool("b", names=["python"])])
    with pytest.raises(ToolAmbiguous, match="a__run, b__run"):
        index.find("python")
    assert index.find("python", "b").info.server == "b"


@pytest.mark.parametrize("names", [None, "python", {"python": 1}, [1, "", "p" * 65, None]])
def test_other_names_of_another_form_are_ignored(names: Any) -> None:
    index = ToolIndex([tool(names=names)])
    for name in ("python", "p", "", "p" * 65):
        with pytest.raises(ToolNotFound):
            index.find(name)
    assert index.find("run").info.name == "run"
