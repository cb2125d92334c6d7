"""The MCP face, spoken to by the official SDK's clients of both eras and over legacy SSE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client

from tests.fakes.memory_catalogue import MemoryCatalogue, says
from tests.serving import serve
from tests.wire.conftest import front_over
from wire.errors import CallTimedOut, ServerError
from wire.models import Call

Open = Callable[[str], AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def modern(url: str) -> AsyncIterator[Client]:
    async with Client(f"{url}/mcp", mode="2026-07-28") as client:
        yield client


@asynccontextmanager
async def handshake(url: str) -> AsyncIterator[Client]:
    async with Client(f"{url}/mcp", mode="legacy") as client:
        yield client


@asynccontextmanager
async def legacy_sse(url: str) -> AsyncIterator[Client]:
    async with Client(sse_client(f"{url}/sse"), mode="legacy") as client:
        yield client


EVERY_CLIENT = pytest.mark.parametrize("connect", [modern, handshake, legacy_sse])


@EVERY_CLIENT
async def test_all_tools_are_listed_and_called_by_qualified_name(connect: Open) -> None:
    catalogue = MemoryCatalogue({"a.say": says("from a"), "b.say": says("from b")})
    async with serve(front_over(catalogue)) as url, connect(url) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("b__say", {"x": 1})
    assert names == ["a__say", "b__say"]
    assert result.content[0].text == "from b"  # type: ignore[union-attr]  # it is a text part
    assert catalogue.calls[0].arguments == {"x": 1}


@EVERY_CLIENT
async def test_a_path_of_one_server_has_its_tools_by_bare_name(connect: Open) -> None:
    catalogue = MemoryCatalogue({"a.say": says("from a"), "b.say": says("from b")})
    async with serve(front_over(catalogue)) as url, connect(f"{url}/servers/b") as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("say", {})
    assert names == ["say"]
    assert result.content[0].text == "from b"  # type: ignore[union-attr]  # it is a text part


@EVERY_CLIENT
async def test_a_tools_own_error_is_a_result_and_a_platform_failure_is_not(connect: Open) -> None:
    async def slow(call: Call) -> dict[str, Any]:
        raise CallTimedOut("It took more than 2 s.")

    catalogue = MemoryCatalogue({"a.fail": says("no such file", is_error=True), "a.slow": slow})
    async with serve(front_over(catalogue)) as url, connect(url) as client:
        result = await client.call_tool("a__fail", {})
        with pytest.raises(MCPError) as timed_out:
            await client.call_tool("a__slow", {})
        with pytest.raises(MCPError) as unknown:
            await client.call_tool("a__nothing", {})
    assert result.is_error
    assert (timed_out.value.code, timed_out.value.data["code"]) == (-32001, "call_timed_out")
    assert (unknown.value.code, unknown.value.data["code"]) == (-32602, "tool_not_found")


@EVERY_CLIENT
async def test_a_tool_servers_protocol_error_goes_through_as_it_came(connect: Open) -> None:
    async def body(call: Call) -> dict[str, Any]:
        raise ServerError("...", rpc_error={"code": -32050, "message": "odd", "data": {"a": 1}})

    async with serve(front_over(MemoryCatalogue({"a.odd": body}))) as url, connect(url) as client:
        with pytest.raises(MCPError) as error:
            await client.call_tool("a__odd", {})
    assert (error.value.code, error.value.message, error.value.data) == (-32050, "odd", {"a": 1})


@pytest.mark.parametrize("connect", [handshake, legacy_sse])
async def test_a_handshake_era_session_names_the_owners_session(connect: Open) -> None:
    catalogue = MemoryCatalogue({"a.say": says("hi")})
    front = front_over(catalogue)
    async with serve(front) as url, connect(url) as first, connect(url) as second:
        for client in (first, first, second):
            await client.call_tool("a__say", {})
    one, again, other = [call.owner.session for call in catalogue.calls]
    assert one == again != other
    assert one is not None
    assert one.startswith("mcp:")


async def test_the_stateless_era_has_only_the_session_that_it_names() -> None:
    catalogue = MemoryCatalogue({"a.say": says("hi")})
    async with serve(front_over(catalogue)) as url, modern(url) as client:
        await client.call_tool("a__say", {})
    assert str(catalogue.calls[0].owner) == "anonymous"


async def test_our_own_meta_keys_cannot_be_set_from_outside() -> None:
    catalogue = MemoryCatalogue({"a.say": says("hi")})
    async with serve(front_over(catalogue)) as url, modern(url) as client:
        await client.session.call_tool(  # type: ignore[call-overload]  # keys of strangers
            "a__say", {}, meta={"agentdock/owner": "root", "example.com/x": 1}
        )
    meta = catalogue.calls[0].meta
    assert meta is not None
    assert meta["example.com/x"] == 1
    assert not [key for key in meta if key.startswith("agentdock/")]


async def test_the_tool_servers_signature_is_replaced_by_ours() -> None:
    async def body(call: Call) -> dict[str, Any]:
        meta = {"io.modelcontextprotocol/serverInfo": {"name": "upstream", "version": "1"}, "k": 1}
        return {"content": [], "_meta": meta}

    async with serve(front_over(MemoryCatalogue({"a.say": body}))) as url, modern(url) as client:
        result = await client.call_tool("a__say", {})
    assert result.meta is not None
    assert result.meta["k"] == 1
    assert result.meta["io.modelcontextprotocol/serverInfo"]["name"] == "test"


async def test_a_single_result_is_answered_as_json_and_a_session_belongs_to_its_key() -> None:
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "raw", "version": "0"},
        },
    }
    accept = {"Accept": "application/json, text/event-stream"}
    agent = accept | {"Authorization": "Bearer agent-key-0123456789"}
    admin = accept | {"Authorization": "Bearer admin-key-0123456789"}
    catalogue = MemoryCatalogue({"a.say": says("hi")})
    async with serve(front_over(catalogue)) as url, httpx.AsyncClient(base_url=url) as client:
        opened = await client.post("/mcp", json=initialize, headers=agent)
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        own = await client.post("/mcp", json=ping, headers=agent | session)
        stolen = await client.post("/mcp", json=ping, headers=admin | session)
    assert opened.headers["content-type"] == "application/json"
    assert (own.status_code, stolen.status_code) == (200, 404)


async def test_a_path_of_an_unknown_server_is_404() -> None:
    front = front_over(MemoryCatalogue({"a.say": says("hi")}))
    async with serve(front) as url, httpx.AsyncClient(base_url=url) as client:
        for path in ("/servers/nope/mcp", "/servers/nope/sse"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@EVERY_CLIENT
async def test_a_cancelled_request_cancels_the_call(connect: Open) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def body(call: Call) -> dict[str, Any]:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    catalogue = MemoryCatalogue({"a.wait": body, "a.say": says("still here")})
    async with serve(front_over(catalogue)) as url, connect(url) as client:
        call = asyncio.create_task(client.call_tool("a__wait", {}))
        async with asyncio.timeout(5):
            await started.wait()
            call.cancel()
            await cancelled.wait()
        await asyncio.gather(call, return_exceptions=True)
        assert not (await client.call_tool("a__say", {})).is_error


async def test_an_open_sse_stream_does_not_hold_up_the_shutdown() -> None:
    async with asyncio.timeout(10):
        async with httpx.AsyncClient() as client:
            async with serve(front_over(MemoryCatalogue({"a.say": says("hi")}))) as url:
                request = client.build_request("GET", f"{url}/sse")
                stream = await client.send(request, stream=True)
                lines = stream.aiter_lines()
                assert await anext(lines) == "event: endpoint"
            await stream.aclose()
