"""The `/v1` face: listing, calling, and what goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.fakes.memory_catalogue import MemoryCatalogue, says
from tests.serving import serve
from tests.wire.conftest import Connect, front_over
from wire.errors import CallTimedOut, NodeLost, Overloaded
from wire.models import Call

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_a_call_answers_with_the_result_unaltered_and_where_it_ran(connect: Connect) -> None:
    content = [{"type": "text", "text": "é"}, {"type": "image", "data": "aGk=", "mimeType": "x/y"}]

    async def body(call: Call) -> dict[str, Any]:
        return {"content": content, "structuredContent": {"n": [1]}, "isError": False}

    catalogue = MemoryCatalogue({"box.draw": body})
    async with connect(catalogue) as client:
        answer = await client.post("/v1/tools/box__draw/call", json={"arguments": {"a": 1}})
    assert answer.json() == {
        "call_id": catalogue.calls[0].id,
        "tool": "draw",
        "server": "box",
        "node": "node-1",
        "is_error": False,
        "content": content,
        "structured_content": {"n": [1]},
        "duration_ms": 1.5,
    }
    assert catalogue.calls[0].arguments == {"a": 1}


async def test_a_tools_own_error_is_a_result(connect: Connect) -> None:
    async with connect(
        MemoryCatalogue({"box.fail": says("no such file", is_error=True)})
    ) as client:
        answer = await client.post("/v1/tools/fail/call", json={})
    assert (answer.status_code, answer.json()["is_error"]) == (200, True)


@pytest.mark.parametrize("name", ["box__say", "box.say", "say"])
async def test_a_tool_is_found_by_each_of_its_names(connect: Connect, name: str) -> None:
    async with connect(MemoryCatalogue({"box.say": says("hi")})) as client:
        assert (await client.post(f"/v1/tools/{name}/call", json={})).status_code == 200
        assert (await client.get(f"/v1/tools/{name}")).json()["name"] == "box__say"


async def test_an_unknown_tool_is_404_with_near_names(connect: Connect) -> None:
    async with connect(MemoryCatalogue({"box.search_web": says("hi")})) as client:
        answer = await client.post("/v1/tools/serch_web/call", json={})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (404, "tool_not_found")
    assert "search_web" in problem["near"]
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_bare_name_of_two_servers_is_409_with_the_candidates(connect: Connect) -> None:
    async with connect(MemoryCatalogue({"a.say": says("1"), "b.say": says("2")})) as client:
        answer = await client.post("/v1/tools/say/call", json={})
        assert (await client.post("/v1/tools/b__say/call", json={})).status_code == 200
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "tool_ambiguous")
    assert problem["candidates"] == ["a__say", "b__say"]


@pytest.mark.parametrize(
    ("arguments", "field"), [({"n": "x"}, "n"), ({}, "arguments"), ({"n": 1.5}, "n")]
)
async def test_bad_arguments_are_422_and_name_the_field(
    connect: Connect, arguments: dict[str, Any], field: str
) -> None:
    catalogue = MemoryCatalogue({"box.add": says("3")}, SCHEMA)
    async with connect(catalogue) as client:
        answer = await client.post("/v1/tools/add/call", json={"arguments": arguments})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_arguments")
    assert answer.json()["field"] == field
    assert catalogue.calls == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"arguments": []}',
        b'{"code": "1"}',
        b'{"timeout_s": "soon"}',
        b'{"timeout_s": -1}',
        b'{"timeout_s": "5"}',
    ],
)
async def test_a_malformed_body_is_400(connect: Connect, body: bytes) -> None:
    catalogue = MemoryCatalogue({"box.say": says("hi")})
    headers = {"Content-Type": "application/json"}
    async with connect(catalogue) as client:
        answer = await client.post("/v1/tools/say/call", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert catalogue.calls == []


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (CallTimedOut("It took more than 2 s."), 504, None),
        (NodeLost("The node went away."), 502, None),
        (Overloaded("Busy.", retry_after_s=0.2), 503, "1"),
    ],
)
async def test_a_platform_failure_is_a_problem_and_never_a_result(
    connect: Connect, error: Exception, status: int, retry_after: str | None
) -> None:
    async def body(call: Call) -> dict[str, Any]:
        raise error

    async with connect(MemoryCatalogue({"box.say": body})) as client:
        answer = await client.post("/v1/tools/say/call", json={})
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert answer.headers.get("retry-after") == retry_after
    assert "content" not in answer.json()


async def test_a_fault_of_ours_is_a_problem_without_its_details(connect: Connect) -> None:
    async def body(call: Call) -> dict[str, Any]:
        raise RuntimeError("secret detail")

    async with connect(MemoryCatalogue({"box.say": body})) as client:
        answer = await client.post("/v1/tools/say/call", json={})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


async def test_the_header_and_the_body_name_a_timeout(connect: Connect) -> None:
    catalogue = MemoryCatalogue({"box.say": says("hi")})
    async with connect(catalogue) as client:
        await client.post("/v1/tools/say/call", json={"timeout_s": 3})
        await client.post(
            "/v1/tools/say/call", json={"timeout_s": 3}, headers={"X-Timeout-Seconds": "1.5"}
        )
    assert [call.timeout_s for call in catalogue.calls] == [3, 1.5]


async def test_tools_are_listed_in_order_and_as_function_schemas(connect: Connect) -> None:
    catalogue = MemoryCatalogue({"b.y": says(""), "a.z": says(""), "a.x": says("")}, SCHEMA)
    async with connect(catalogue) as client:
        tools = (await client.get("/v1/tools")).json()["tools"]
        functions = (await client.get("/v1/tools?format=openai")).json()["tools"]
        of_one = (await client.get("/v1/tools?server=a")).json()["tools"]
        missing = await client.get("/v1/tools?server=c")
        odd = await client.get("/v1/tools?format=xml")
    assert [tool["name"] for tool in tools] == ["a__x", "a__z", "b__y"]
    assert tools[0]["input_schema"] == SCHEMA
    assert functions[0] == {
        "type": "function",
        "function": {"name": "a__x", "description": "The tool x.", "parameters": SCHEMA},
    }
    assert [tool["name"] for tool in of_one] == ["a__x", "a__z"]
    assert (missing.status_code, odd.status_code) == (404, 400)


async def test_a_caller_that_hangs_up_cancels_its_call() -> None:
    cancelled = asyncio.Event()

    async def body(call: Call) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    async with serve(front_over(MemoryCatalogue({"box.wait": body}))) as url:
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(f"{url}/v1/tools/wait/call", json={}, timeout=0.5)
        async with asyncio.timeout(5):
            await cancelled.wait()


async def test_the_openapi_document_has_the_faces_with_examples(connect: Connect) -> None:
    async with connect(MemoryCatalogue({"box.say": says("hi")})) as client:
        document = (await client.get("/openapi.json")).json()
        assert (await client.get("/docs")).status_code == 200
    call = document["paths"]["/v1/tools/{tool}/call"]["post"]
    assert call["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "/CallRequest"
    )
    assert document["components"]["schemas"]["CallAnswer"]["examples"]
    for path in (
        "/mcpapi/tool/{tool}",
        "/call_tool",
        "/list_tools",
        "/mcp",
        "/servers/{server}/mcp",
    ):
        assert path in document["paths"]


@pytest.mark.parametrize("wish", ["1_0", "soon", "0", "-1", "inf", "nan", "1e3"])
async def test_a_timeout_that_is_no_plain_number_is_refused(connect: Connect, wish: str) -> None:
    async with connect(MemoryCatalogue({"box.say": says("hi")})) as client:
        headers = {"X-Timeout-Seconds": wish}
        answer = await client.post("/v1/tools/say/call", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_a_large_wrong_value_is_not_echoed_whole(connect: Connect) -> None:
    async with connect(MemoryCatalogue({"box.add": says("3")}, SCHEMA)) as client:
        body = {"arguments": {"n": "x" * 50_000}}
        answer = await client.post("/v1/tools/add/call", json=body)
    assert answer.status_code == 422
    assert len(answer.content) < 2000


async def test_an_answer_that_cannot_be_passed_on_is_the_tool_servers_error(
    connect: Connect,
) -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]

    async def body(call: Call) -> dict[str, Any]:
        return {"content": [], "structuredContent": {"deep": deep}}

    async with connect(MemoryCatalogue({"box.deep": body})) as client:
        answer = await client.post("/v1/tools/deep/call", json={})
    assert (answer.status_code, answer.json()["code"]) == (502, "server_error")


async def test_a_call_cut_off_by_the_end_of_the_service_is_answered() -> None:
    started = asyncio.Event()

    async def body(call: Call) -> dict[str, Any]:
        started.set()
        await asyncio.Event().wait()
        return {}

    async with httpx.AsyncClient(timeout=10) as client:
        async with serve(front_over(MemoryCatalogue({"box.wait": body}))) as url:
            call = asyncio.create_task(client.post(f"{url}/v1/tools/wait/call", json={}))
            await asyncio.wait_for(started.wait(), 5)
        answer = await asyncio.wait_for(call, 5)
    assert (answer.status_code, answer.json()["code"]) == (502, "node_lost")
