"""AgentDock's face, fixed by golden request and response pairs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.memory_catalogue import MemoryCatalogue, says
from tests.golden.pairs import GOLDEN
from tests.wire.conftest import Connect
from wire.errors import CallTimedOut
from wire.models import Call


def _tool_of(golden: dict[str, Any]) -> MemoryCatalogue:
    async def body(call: Call) -> dict[str, Any]:
        if "timeout" in golden:
            raise CallTimedOut(golden["timeout"])
        result: dict[str, Any] = golden["tool_result"]
        return result

    return MemoryCatalogue({"box.tool": body})


@pytest.mark.parametrize("name", GOLDEN)
async def test_a_golden_pair_is_answered_as_agentdocks_client_expects(
    connect: Connect, name: str
) -> None:
    async with connect(_tool_of(GOLDEN[name])) as client:
        for exchange in GOLDEN[name]["exchanges"]:
            answer = await client.post(exchange["path"], json=exchange["request"])
            assert answer.status_code == exchange["status"]
            assert answer.json() == exchange["response"]


def test_the_five_golden_pairs_are_there() -> None:
    assert list(GOLDEN) == ["image", "json_text", "text", "timeout", "tool_error"]


async def test_an_unknown_tool_looks_like_one(connect: Connect) -> None:
    async with connect(MemoryCatalogue({"box.say": says("hi")})) as client:
        answer = await client.post("/mcpapi/tool/box.saay", json={})
    assert answer.status_code == 404
    assert answer.json()["status"] == "error"
    assert answer.json()["content"]["code"] == "tool_not_found"
    assert "box.say" in answer.json()["content"]["detail"]


@pytest.mark.parametrize(
    ("headers", "path", "status", "code"),
    [
        ({"X-API-Key": "wrong"}, "/mcpapi/tool/box.say", 401, "unauthorized"),
        ({"Content-Type": "text/plain"}, "/call_tool", 415, "unsupported_media_type"),
        ({"Origin": "http://evil.example"}, "/mcpapi/tool/box.say", 403, "origin_refused"),
        ({}, "/mcpapi/nothing", 404, "not_found"),
    ],
)
async def test_what_the_gate_refuses_has_the_shape_that_the_client_reads(
    connect: Connect, headers: dict[str, str], path: str, status: int, code: str
) -> None:
    async with connect(MemoryCatalogue({"box.say": says("hi")})) as client:
        sent = {"Content-Type": "application/json", **headers}
        answer = await client.post(path, content=b"{}", headers=sent)
    assert answer.status_code == status
    assert (answer.json()["status"], answer.json()["content"]["code"]) == ("error", code)


async def test_servers_and_tools_are_listed_in_agentdocks_shapes(connect: Connect) -> None:
    def function(name: str) -> dict[str, Any]:
        return {
            "type": "function",
            "function": {
                "name": name,
                "description": "The tool say.",
                "parameters": {"type": "object"},
            },
        }

    async with connect(MemoryCatalogue({"box.say": says("hi")})) as client:
        assert (await client.get("/mcpapi/servers")).json() == {"servers": ["box"]}
        assert (await client.get("/mcpapi/tools")).json() == {"tools": [function("box.say")]}
        assert (await client.get("/list_tools")).json() == [function("box.say")]
        of_one = (await client.get("/mcpapi/server/box/tools")).json()
        missing = await client.get("/mcpapi/server/nope/tools")
    assert of_one == {"server": "box", "tools": [function("say")]}
    assert (missing.status_code, missing.json()["content"]["code"]) == (404, "not_found")


async def test_a_path_under_server_that_is_no_list_of_tools_is_not_found(connect: Connect) -> None:
    async with connect(MemoryCatalogue({"box.say": says("hi")})) as client:
        for path in ("/mcpapi/server/box", "/mcpapi/server/box/", "/mcpapi/server/tools"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["content"]["code"]) == (404, "not_found")


async def test_a_tool_whose_name_holds_a_percent_sign_is_called_by_it(connect: Connect) -> None:
    async with connect(MemoryCatalogue({"box.say%41": says("hi")})) as client:
        answer = await client.post("/mcpapi/tool/box.say%2541", json={})
    assert answer.json() == {"status": "success", "content": "hi"}


async def test_a_tool_call_without_a_function_is_400(connect: Connect) -> None:
    async with connect(MemoryCatalogue({"box.say": says("hi")})) as client:
        for body in ({}, {"function": {"name": "say", "arguments": "{"}}):
            answer = await client.post("/call_tool", json=body)
            assert (answer.status_code, answer.json()["content"]["code"]) == (400, "bad_request")
