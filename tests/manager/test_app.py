"""The assembled manager, served on a real port, with scripted nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from manager.app import create_app
from manager.launchers.external import ExternalLauncher
from manager.settings import ManagerSettings
from manager.stores.sqlite import SqliteStore
from tests.fakes import scripted_node
from tests.fakes.scripted_node import ScriptedNode, refuse_with, server, tool
from tests.manager.conftest import SECRET, StartNode
from tests.serving import serve
from wire.errors import ServerUnavailable, StoreUnavailable
from wire.models import NodeReport, NodeState, ServerState
from wire.settings import load

AGENT = {"authorization": "Bearer alice-key-0123456789"}
ADMIN = {"x-api-key": "admin-key-0123456789"}
PEER = {"authorization": f"Bearer {SECRET}"}
KEYS = "alice:agent:alice-key-0123456789,ops:admin:admin-key-0123456789"


def settings(folder: Path, **variables: str) -> ManagerSettings:
    shared = {"AGENTDOCK_SECRET": SECRET, "AGENTDOCK_DATA_DIR": str(folder)}
    own = {f"AGENTDOCK_MANAGER_{name}": value for name, value in variables.items()}
    return load(ManagerSettings, shared | own)


class Manager:
    """A served manager and a client for it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def join(self, node: ScriptedNode, *servers: Any, **fields: Any) -> NodeReport:
        report = node.report(*servers, **fields)
        await self.send(report)
        return report

    async def send(self, report: NodeReport) -> httpx.Response:
        path = f"/v1/nodes/{report.id}/report"
        answer = await self.client.put(path, json=report.model_dump(mode="json"), headers=PEER)
        assert answer.status_code == 200, answer.text
        return answer

    async def call(self, name: str = "echo", **arguments: Any) -> httpx.Response:
        return await self.client.post(
            f"/v1/tools/{name}/call", json={"arguments": arguments}, headers=AGENT
        )

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers={**ADMIN, **headers})


@pytest.fixture
def store() -> SqliteStore:
    return SqliteStore(":memory:")


@pytest.fixture
async def manager(tmp_path: Path, store: SqliteStore) -> AsyncIterator[Manager]:
    app = create_app(settings(tmp_path, API_KEYS=KEYS), store=store, launcher=ExternalLauncher())
    async with serve(app) as url, httpx.AsyncClient(base_url=url, timeout=5) as client:
        yield Manager(client)


async def test_a_node_joins_and_its_tools_can_be_called(
    manager: Manager, start_node: StartNode
) -> None:
    node = await start_node()
    answer = await manager.send(node.report())
    assert answer.json() == {"report_every_s": 1.0, "registrations": []}
    tools = (await manager.get("/v1/tools")).json()["tools"]
    assert [entry["name"] for entry in tools] == ["echo__echo"]
    body = (await manager.call(a=1)).json()
    assert (body["node"], body["server"], body["is_error"]) == ("one", "echo", False)
    assert body["content"] == [{"type": "text", "text": '{"a":1}'}]
    assert node.calls[0].params["_meta"]["agentdock/owner"] == "alice"


async def test_a_call_is_recorded_for_administrators(
    manager: Manager, start_node: StartNode
) -> None:
    await manager.join(await start_node())
    call_id = (await manager.call()).json()["call_id"]
    await manager.call("nothing")
    records = (await manager.get("/v1/calls?limit=10")).json()["calls"]
    assert [entry["outcome"] for entry in records] == ["tool_not_found", "ok"]
    assert records[1]["id"] == call_id
    assert (records[1]["owner"], records[1]["arguments"]) == ("alice", None)


async def test_a_registration_is_in_the_store_when_it_is_answered(
    manager: Manager, store: SqliteStore
) -> None:
    report = await manager.join(ScriptedNode(port=1))
    assert [node.report for node in await store.nodes()] == [report]
    assert [entry.tool.name for entry in await store.tools()] == ["echo"]


async def test_a_report_that_cannot_be_saved_is_refused_but_the_tools_serve(
    manager: Manager, store: SqliteStore, start_node: StartNode
) -> None:
    node = await start_node()
    await store.close()
    report = node.report()
    path = "/v1/nodes/one/report"
    for _ in range(2):
        answer = await manager.client.put(path, json=report.model_dump(mode="json"), headers=PEER)
        assert answer.json()["code"] == "store_unavailable"
    assert (await manager.call()).status_code == 200
    readiness = await manager.get("/readyz")
    assert (readiness.status_code, readiness.json()["status"]) == (200, "degraded")
    assert any("store" in reason for reason in readiness.json()["reasons"])
    await store.open()
    await manager.send(report)
    assert len(await store.nodes()) == 1


async def test_call_records_that_cannot_be_written_are_a_reason(
    manager: Manager, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(calls: object) -> None:
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(store, "add_calls", full)
    await manager.call("nothing")
    assert (await manager.get("/v1/calls")).status_code == 200
    reasons = (await manager.get("/readyz")).json()["reasons"]
    assert any("(1 wait, 0 were dropped): The disk is full." in reason for reason in reasons)


async def test_a_node_that_leaves_is_forgotten(manager: Manager, store: SqliteStore) -> None:
    await manager.join(ScriptedNode(port=1))
    answer = await manager.client.delete("/v1/nodes/one", headers=PEER)
    assert answer.status_code == 204
    assert (await manager.get("/v1/nodes")).json()["nodes"] == []
    assert await store.nodes() == []
    assert (await manager.client.delete("/v1/nodes/one", headers=PEER)).status_code == 404


async def test_a_process_that_leaves_late_does_not_take_its_successor_along(
    manager: Manager,
) -> None:
    await manager.join(ScriptedNode(port=1), boot="second")
    late = await manager.client.delete("/v1/nodes/one?boot=first", headers=PEER)
    assert late.status_code == 204
    assert len((await manager.get("/v1/nodes")).json()["nodes"]) == 1
    own = await manager.client.delete("/v1/nodes/one?boot=second", headers=PEER)
    assert own.status_code == 204
    assert (await manager.get("/v1/nodes")).json()["nodes"] == []


FAULTY_REPORTS: list[dict[str, Any]] = [
    {"id": "two"},
    {"url": "one:8014"},
    {"url": "ftp://one"},
    {"url": "http://one:x"},
    {"state": "asleep"},
    {"servers": [{"name": "echo"}]},
]


async def test_a_report_that_makes_no_sense_is_refused_and_changes_nothing(
    manager: Manager,
) -> None:
    for fault in FAULTY_REPORTS:
        body = ScriptedNode(port=1).report().model_dump(mode="json") | fault
        answer = await manager.client.put("/v1/nodes/one/report", json=body, headers=PEER)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), fault
    assert (await manager.get("/v1/nodes")).json()["nodes"] == []


ROUTES = [
    ("GET", "/v1/nodes", {"admin"}),
    ("GET", "/v1/servers", {"admin"}),
    ("GET", "/v1/calls", {"agent", "admin", "peer"}),
    ("GET", "/v1/stats", {"agent", "admin", "peer"}),
    ("POST", "/v1/servers/echo/restart", {"admin"}),
    ("PUT", "/v1/nodes/one/report", {"peer"}),
    ("DELETE", "/v1/nodes/one", {"admin", "peer"}),
    ("GET", "/v1/tools", {"agent", "admin", "peer"}),
]


ROLES: dict[str, dict[str, str]] = {
    "agent": AGENT,
    "admin": ADMIN,
    "peer": PEER,
    "nobody": {},
    "stranger": {"x-api-key": "not-a-key-of-ours"},
}


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_do_exactly_what_the_table_says(
    manager: Manager, start_node: StartNode, role: str
) -> None:
    node = await start_node()
    for method, path, allowed in ROUTES:
        report = await manager.join(node)
        body = report.model_dump(mode="json") if method == "PUT" else None
        answer = await manager.client.request(method, path, headers=ROLES[role], json=body)
        if role in allowed:
            assert answer.is_success, f"{method} {path}: {answer.text}"
            continue
        expected = 401 if role in ("nobody", "stranger") else 403
        assert answer.status_code == expected, f"{method} {path}: {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json"


async def test_nodes_and_servers_are_shown_with_their_troubles(manager: Manager) -> None:
    failed = server("web", state=ServerState.FAILED, error="No module named 'bs4'")
    one = ScriptedNode("one", port=1).report(server("echo", tool("echo")), failed)
    one = one.model_copy(update={"problems": ["full.toml: line 3: no value"]})
    await manager.send(one)
    await manager.join(ScriptedNode("two", port=2))
    nodes = (await manager.get("/v1/nodes")).json()["nodes"]
    assert [(node["id"], node["state"]) for node in nodes] == [("one", "ready"), ("two", "ready")]
    assert nodes[0]["servers"][1]["error"] == "No module named 'bs4'"
    answer = (await manager.get("/v1/servers")).json()
    assert answer["problems"] == {"one": ["full.toml: line 3: no value"]}
    echo, web = answer["servers"]
    assert (echo["name"], echo["tools"], echo["ready"]) == ("echo", 1, 2)
    assert [(on["node"], on["state"]) for on in web["nodes"]] == [("one", "failed")]


async def test_a_restart_is_asked_of_every_node_and_says_where_it_failed(
    manager: Manager, start_node: StartNode
) -> None:
    one, two, gone = [await start_node(id=name) for name in ("one", "two", "gone")]
    for node in (one, two, gone):
        await manager.join(node)
    two.alive = refuse_with(ServerUnavailable("cannot now"))
    await gone.stop()
    answer = await manager.client.post("/v1/servers/echo/restart", headers=ADMIN)
    body = answer.json()
    assert body["restarted"] == ["one"]
    assert body["failed"]["two"] == "cannot now"
    assert "gone" in body["failed"]["gone"]
    request = one.others[0]
    assert (request.method, request.path) == ("POST", "/v1/servers/echo/restart")
    assert request.headers["authorization"] == PEER["authorization"]
    unknown = await manager.client.post("/v1/servers/nothing/restart", headers=ADMIN)
    assert unknown.status_code == 404


async def test_a_node_that_stops_answering_is_lost_and_its_calls_go_elsewhere(
    tmp_path: Path, store: SqliteStore, start_node: StartNode
) -> None:
    short = settings(tmp_path, API_KEYS=KEYS, LOST_AFTER_S="0.05")
    app = create_app(short, store=store, launcher=ExternalLauncher())
    one, two = await start_node(id="one"), await start_node(id="two")
    async with serve(app) as url, httpx.AsyncClient(base_url=url, timeout=5) as client:
        manager = Manager(client)
        for node in (one, two):
            await manager.join(node)
        await one.stop()
        async with asyncio.timeout(5):
            while True:
                nodes = (await manager.get("/v1/nodes")).json()["nodes"]
                if nodes[0]["state"] == "lost":
                    break
        for _ in range(5):
            assert (await manager.call()).json()["node"] == "two"
        await manager.join(await one.start())
        nodes = (await manager.get("/v1/nodes")).json()["nodes"]
        assert nodes[0]["state"] == "ready"


async def test_a_caller_who_hangs_up_cancels_the_call_on_the_node(
    manager: Manager, start_node: StartNode
) -> None:
    node = await start_node(behaviour=scripted_node.hang)
    await manager.join(node)
    call = asyncio.ensure_future(manager.call())
    await node.until(lambda it: len(it.calls) == 1)
    call.cancel()
    await node.until(lambda it: it.hang_ups == 1)
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_restarted_manager_knows_tools_whose_nodes_have_not_reported_yet(
    tmp_path: Path, start_node: StartNode
) -> None:
    node = await start_node()
    report = node.report()
    for expected in (200, 503):
        app = create_app(settings(tmp_path, API_KEYS=KEYS), launcher=ExternalLauncher())
        async with serve(app) as url, httpx.AsyncClient(base_url=url, timeout=5) as client:
            manager = Manager(client)
            if expected == 200:
                await manager.send(report)
            answer = await manager.call()
            assert answer.status_code == expected
    assert answer.json()["code"] == "no_node"
    assert answer.headers["retry-after"] == "1"


class TestHealth:
    """What anybody may ask."""

    async def test_the_process_answers_without_a_key(self, manager: Manager) -> None:
        for path in ("/livez", "/alive"):
            answer = await manager.client.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": "alive"})

    async def test_without_a_node_the_manager_serves_and_explains_itself(
        self, manager: Manager
    ) -> None:
        readiness = await manager.client.get("/readyz")
        assert readiness.status_code == 503
        assert readiness.json()["status"] == "unready"
        assert "no node has joined yet" in readiness.json()["reasons"]
        health = await manager.client.get("/health")
        assert health.status_code == 200
        assert health.headers["content-type"].startswith("text/plain")
        assert "no node has joined yet" in health.text
        assert (await manager.client.get("/v1/tools", headers=AGENT)).json() == {"tools": []}
        assert (await manager.call()).json()["code"] == "tool_not_found"

    async def test_readiness_tells_full_from_partial_service(self, manager: Manager) -> None:
        for node_state, state, status, code in (
            (NodeState.READY, ServerState.READY, "ready", 200),
            (NodeState.READY, ServerState.STARTING, "degraded", 200),
            (NodeState.READY, ServerState.FAILED, "degraded", 200),
            (NodeState.DRAINING, ServerState.READY, "unready", 503),
            (NodeState.JOINING, ServerState.STARTING, "unready", 503),
        ):
            web = server("web", state=state)
            await manager.join(
                ScriptedNode(port=1), server("echo", tool("echo")), web, state=node_state
            )
            answer = await manager.client.get("/readyz")
            assert (answer.json()["status"], answer.status_code) == (status, code), state
            assert answer.json()["servers"]["web"] == {"one": state}

    async def test_a_node_without_any_tool_is_not_ready(self, manager: Manager) -> None:
        failed = server("web", tool("search", "web"), state=ServerState.FAILED)
        await manager.join(ScriptedNode(port=1), failed)
        answer = await manager.client.get("/readyz")
        assert (answer.status_code, answer.json()["tools"]) == (503, 0)

    async def test_the_summary_is_text_for_people_and_json_for_programs(
        self, manager: Manager
    ) -> None:
        await manager.join(ScriptedNode(port=1))
        text = (await manager.client.get("/health")).text
        assert "AgentDock manager: ready" in text
        assert "echo: ready on one" in text
        answer = await manager.client.get("/health", headers={"accept": "application/json"})
        assert answer.json()["nodes"] == {"one": "ready"}

    async def test_errors_are_shown_only_where_nobody_else_can_read_them(
        self, tmp_path: Path, store: SqliteStore
    ) -> None:
        public = settings(tmp_path, API_KEYS=KEYS, HOST="0.0.0.0")
        app = create_app(public, store=store, launcher=ExternalLauncher())
        failed = server("web", state=ServerState.FAILED, error="the canary died")
        async with serve(app) as url, httpx.AsyncClient(base_url=url, timeout=5) as client:
            await Manager(client).join(ScriptedNode(port=1), server("echo", tool("echo")), failed)
            assert "canary" not in (await client.get("/health")).text
            assert "canary" in (await client.get("/v1/servers", headers=ADMIN)).text


async def test_the_documentation_describes_every_route_with_a_summary(manager: Manager) -> None:
    document = (await manager.get("/openapi.json")).json()
    for path in ("/v1/nodes", "/v1/servers", "/v1/calls", "/readyz", "/v1/nodes/{node_id}/report"):
        assert path in document["paths"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), f"{method} {path}"


async def test_on_loopback_without_keys_everybody_may_do_everything_but_report(
    tmp_path: Path, store: SqliteStore
) -> None:
    app = create_app(settings(tmp_path), store=store, launcher=ExternalLauncher())
    async with serve(app) as url, httpx.AsyncClient(base_url=url, timeout=5) as client:
        assert (await client.get("/v1/nodes")).status_code == 200
        report = ScriptedNode(port=1).report().model_dump(mode="json")
        assert (await client.put("/v1/nodes/one/report", json=report)).status_code == 403
        wrong = await client.get("/v1/nodes", headers={"x-api-key": "wrong"})
        assert wrong.status_code == 401


async def test_a_secret_is_made_in_the_data_folder_when_none_is_set(tmp_path: Path) -> None:
    bare = load(ManagerSettings, {"AGENTDOCK_DATA_DIR": str(tmp_path)})
    create_app(bare, store=SqliteStore(":memory:"), launcher=ExternalLauncher())
    assert len((tmp_path / "secret").read_text().strip()) >= 32
