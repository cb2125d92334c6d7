"""What AgentDock's clients ask beside the faces: nodes by id, and the machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from manager.app import create_app
from manager.launchers.external import ExternalLauncher
from manager.stores.sqlite import SqliteStore
from tests.fakes.scripted_node import ScriptedNode, server, tool
from tests.manager.conftest import StartNode
from tests.manager.test_app import ADMIN, AGENT, KEYS, Manager, settings
from tests.serving import serve


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    app = create_app(
        settings(tmp_path, API_KEYS=KEYS, DOCKER_SOCKET=str(tmp_path / "engine.sock")),
        store=SqliteStore(":memory:"),
        launcher=ExternalLauncher(),
    )
    async with serve(app) as url, httpx.AsyncClient(base_url=url, headers=AGENT) as client:
        yield Manager(client)


async def admin(manager: Manager, path: str) -> httpx.Response:
    return await manager.client.get(path, headers={"authorization": f"Bearer {ADMIN['x-api-key']}"})


@pytest.fixture
async def nodes(manager: Manager, start_node: StartNode) -> dict[str, ScriptedNode]:
    """Two nodes with the same tool, one of which has another besides."""
    found = {}
    for name, tools in (("one", ["echo"]), ("two", ["echo", "more"])):
        node = found[name] = await start_node(id=name)
        report = node.report(server("echo", *(tool(t) for t in tools)))
        await manager.send(report.model_copy(update={"profile": f"p{name}"}))
    return found


async def test_calls_under_a_node_reach_that_node_only(
    manager: Manager, nodes: dict[str, ScriptedNode]
) -> None:
    for _ in range(10):
        answer = await manager.client.post("/container/two/mcpapi/tool/echo", json={"a": 1})
        assert answer.json() == {"status": "success", "content": {"a": 1}}
    rest = await manager.client.post("/container/two/v1/tools/echo/call", json={"arguments": {}})
    assert rest.json()["node"] == "two"
    assert (len(nodes["one"].calls), len(nodes["two"].calls)) == (0, 11)


async def test_a_node_lists_its_own_tools(manager: Manager, nodes: dict[str, ScriptedNode]) -> None:
    async def names(path: str) -> list[str]:
        tools = (await manager.client.get(path)).json()["tools"]
        return [t["name"] if "name" in t else t["function"]["name"] for t in tools]

    assert await names("/container/one/mcpapi/tools") == ["echo.echo"]
    assert await names("/container/two/v1/tools") == ["echo__echo", "echo__more"]
    missing = await manager.client.post("/container/one/mcpapi/tool/more", json={})
    assert missing.json()["status"] == "error"
    assert nodes["two"].calls == []


async def test_mcp_under_a_node_is_that_of_the_node(
    manager: Manager, nodes: dict[str, ScriptedNode]
) -> None:
    async def ask(node: str, method: str, params: dict[str, Any]) -> Any:
        answer = await manager.client.post(
            f"/container/{node}/mcp",
            json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
            headers={"accept": "application/json, text/event-stream", **session},
        )
        if "mcp-session-id" in answer.headers:
            session["mcp-session-id"] = answer.headers["mcp-session-id"]
        return answer.json()["result"]

    for node, count in (("one", 1), ("two", 2)):
        session: dict[str, str] = {}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}}
        await ask(node, "initialize", hello | {"clientInfo": {"name": "t", "version": "1"}})
        assert len((await ask(node, "tools/list", {}))["tools"]) == count
        await ask(node, "tools/call", {"name": "echo__echo", "arguments": {}})
        assert len(nodes[node].calls) == 1


async def test_legacy_sse_under_a_node_stays_under_it(
    manager: Manager, nodes: dict[str, ScriptedNode]
) -> None:
    async with manager.client.stream("GET", "/container/two/sse") as stream:
        lines = stream.aiter_lines()

        async def next_data() -> str:
            async for line in lines:
                if line.startswith("data: "):
                    return line.removeprefix("data: ")
            raise AssertionError("the stream ended")

        async with asyncio.timeout(5):
            messages = await next_data()
            assert messages.startswith("/container/two/messages")
            hello: dict[str, Any] = {"protocolVersion": "2024-11-05", "capabilities": {}}
            hello["clientInfo"] = {"name": "t", "version": "1"}
            for number, method, params in (
                (1, "initialize", hello),
                (None, "notifications/initialized", {}),
                (2, "tools/call", {"name": "echo__echo", "arguments": {}}),
            ):
                message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
                if number is not None:
                    message["id"] = number
                answer = await manager.client.post(messages, json=message)
                assert answer.status_code == 202, answer.text
                if number is not None:
                    assert orjson.loads(await next_data())["id"] == number
    assert (len(nodes["one"].calls), len(nodes["two"].calls)) == (0, 1)


async def test_what_is_not_there_is_said(manager: Manager, nodes: dict[str, ScriptedNode]) -> None:
    gone = await manager.client.get("/container/three/mcpapi/tools")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert "one, two" in gone.json()["detail"]
    for path in ("/container/one/v1/registrations", "/container/one/v1/servers", "/container/one"):
        assert (await manager.client.get(path)).status_code == 404
    assert (await manager.client.get("/container/one/alive")).json() == {"status": "alive"}
    nobody = await manager.client.get(
        "/container/one/mcpapi/tools", headers={"authorization": "Bearer unknown"}
    )
    assert nobody.status_code == 401


async def test_a_node_is_given_to_who_asks_for_an_image(
    manager: Manager, nodes: dict[str, ScriptedNode]
) -> None:
    images = (await manager.client.get("/node/images")).json()["images"]
    assert images == [{"name": "pone", "nodes": ["one"]}, {"name": "ptwo", "nodes": ["two"]}]
    made = await manager.client.post("/node/create?image_name=x/agentdock-ptwo:latest")
    assert made.json()["node_id"] == "two"
    unknown = await manager.client.post("/node/create?image_name=other")
    assert (unknown.status_code, "pone, ptwo" in unknown.json()["detail"]) == (404, True)
    for verb in ("close", "release", "reconnect"):
        kept = await manager.client.post(f"/node/{verb}?node_id_q=two")
        assert kept.json()["node_id"] == "two"
        assert (await manager.client.post(f"/node/{verb}?node_id_q=three")).status_code == 404
    assert (await manager.client.get("/container/two/alive")).status_code == 200
    details = await admin(manager, "/node/details?node_id_q=two")
    assert details.json()["profile"] == "ptwo"
    assert (await manager.client.get("/node/details?node_id_q=two")).status_code == 403


async def test_without_a_node_none_is_given(manager: Manager) -> None:
    answer = await manager.client.post("/node/create?image_name=explore")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_node")


async def test_the_machine_and_what_is_wrong_are_told_to_administrators(manager: Manager) -> None:
    system = (await admin(manager, "/api/resources/system")).json()
    assert system["cpus"] >= 1
    assert 0 < system["memory"]["used_bytes"] < system["memory"]["total_bytes"]
    alerts = (await admin(manager, "/api/resources/alerts")).json()["alerts"]
    assert {"level": "critical", "message": "no node has joined yet"} in alerts
    for path in ("system", "docker", "alerts"):
        assert (await manager.client.get(f"/api/resources/{path}")).status_code == 403


ENGINE = {
    "/version": {"Version": "28.0"},
    "/containers/json": [
        {"Id": "a" * 64, "Names": ["/db"], "Image": "mongo", "State": "running", "Status": "Up"}
    ],
}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (ENGINE, {"available": True, "version": "28.0"}),
        ({"/version": {"no": "engine"}, "/containers/json": []}, {"available": False}),
        ({"/version": None}, {"available": False}),
    ],
)
async def test_an_engine_is_asked_if_there_is_one(
    manager: Manager, tmp_path: Path, answers: dict[str, Any], expected: dict[str, Any]
) -> None:
    none = (await admin(manager, "/api/resources/docker")).json()
    assert (none["available"], "no Docker engine" in none["reason"]) == (False, True)

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode().partition("?")[0]
        if answers.get(path) is not None:
            body = orjson.dumps(answers[path])
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            writer.write(head.encode() + body)
        writer.close()

    engine = await asyncio.start_unix_server(serve_one, tmp_path / "engine.sock")
    async with engine:
        found = (await admin(manager, "/api/resources/docker")).json()
    assert found | expected == found
    assert bool(found["reason"]) is not found["available"]
    assert len(found["containers"]) == expected["available"]
