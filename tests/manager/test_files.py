"""Which node a request for files goes to, as whom, and what is said when there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from manager.app import create_app
from manager.launchers.external import ExternalLauncher
from manager.stores.sqlite import SqliteStore
from tests.fakes import scripted_node
from tests.fakes.scripted_node import Behaviour, Exchange, ScriptedNode, refuse_with, server
from tests.manager.conftest import SECRET, StartNode
from tests.manager.test_app import AGENT, KEYS, PEER, Manager, settings
from tests.serving import serve
from wire import handles
from wire.errors import ServerCrashed, ServerUnavailable
from wire.models import NodeState, ServerReport, ServerState


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    store = SqliteStore(":memory:")
    app = create_app(settings(tmp_path, API_KEYS=KEYS), store=store, launcher=ExternalLauncher())
    async with (
        serve(app) as url,
        httpx.AsyncClient(base_url=url, timeout=5, headers=AGENT) as client,
    ):
        yield Manager(client)


def box(**fields: Any) -> ServerReport:
    """Return a tool server that serves files."""
    return server("box", **({"files": True} | fields))


def handle(node_id: str) -> str:
    return f"{handles.prefix(SECRET, node_id)}.random"


def saying(document: object) -> Behaviour:
    """Answer with a JSON document."""
    return lambda exchange: exchange.reply(200, orjson.dumps(document))


async def joined(manager: Manager, start: StartNode, node_id: str, **fields: Any) -> ScriptedNode:
    node = await start(id=node_id, **fields)
    await manager.join(node, box())
    return node


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def asked(node: ScriptedNode) -> list[tuple[str, str]]:
    """Return what a node was asked for, but for probes."""
    seen = [(request.method, request.path) for request in node.others]
    return [it for it in seen if it[1] != "/livez"]


async def test_a_request_arrives_with_its_owner_and_our_own_credentials(
    manager: Manager, start_node: StartNode
) -> None:
    node = await joined(manager, start_node, "one")
    claims = {"X-Agentdock-Owner": "bob", "X-API-Key": "not looked at", "X-Session-Id": "s1"}
    answer = await manager.client.put("/v1/files/a%20b", content=b"123", headers=claims)
    assert answer.status_code == 200
    [request] = node.others
    assert (request.method, request.path, request.body) == ("PUT", "/v1/files/a%20b", b"123")
    assert request.headers["x-agentdock-owner"] == "alice/s1"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["host"] == node.url.removeprefix("http://")
    assert "x-api-key" not in request.headers


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer unknown"}])
async def test_without_a_key_nothing_is_reached(
    manager: Manager, start_node: StartNode, headers: dict[str, str]
) -> None:
    node = await joined(manager, start_node, "one")
    for path in ("/v1/files/x", "/v1/sandboxes", f"/v1/sandboxes/{handle('one')}"):
        assert problem(await manager.client.get(path, headers=headers)) == (401, "unauthorized")
    assert asked(node) == []


async def test_a_sandbox_is_asked_for_on_the_node_that_its_handle_names(
    manager: Manager, start_node: StartNode
) -> None:
    one, two = [await joined(manager, start_node, name) for name in ("one", "two")]
    paths = [f"/v1/sandboxes/{handle('two')}{rest}" for rest in ("", "/files", "/files/a", "/x")]
    for path in paths:
        assert (await manager.client.get(path)).status_code == 200
    assert asked(one) == []
    assert asked(two) == [("GET", path) for path in paths]


@pytest.mark.parametrize(
    "sandbox", ["one", "one.", "one.0123.random", "sandbox1", "%20", "one%2E0123", "x" * 5000]
)
async def test_an_id_that_no_node_gave_is_asked_for_nowhere(
    manager: Manager, start_node: StartNode, sandbox: str
) -> None:
    node = await joined(manager, start_node, "one")
    for path in (f"/v1/sandboxes/{sandbox}", f"/v1/sandboxes/{sandbox}/files/x"):
        answer = await manager.client.get(path)
        assert problem(answer) == (404, "not_found")
        assert len(answer.content) < 1000
    assert asked(node) == []


async def test_a_sandbox_of_a_node_that_is_gone_is_lost(
    manager: Manager, start_node: StartNode
) -> None:
    other = await joined(manager, start_node, "other")
    for method in ("GET", "PUT", "DELETE"):
        answer = await manager.client.request(method, f"/v1/sandboxes/{handle('gone')}/files/x")
        assert problem(answer) == (410, "sandbox_lost")
    assert asked(other) == []


async def test_a_sandbox_of_a_node_that_may_only_be_restarted_is_not_called_lost(
    manager: Manager, start_node: StartNode
) -> None:
    await joined(manager, start_node, "one")
    left = await manager.client.delete("/v1/nodes/one", headers=PEER)
    assert left.status_code == 204
    answer = await manager.client.get(f"/v1/sandboxes/{handle('one')}/files/x")
    assert problem(answer) == (503, "no_node")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": NodeState.DRAINING}, "the node is draining"),
        ({"servers": [box(state=ServerState.BACKING_OFF)]}, "'box' is backing off"),
        ({"servers": [server("box")]}, "none of its tool servers serves files"),
    ],
)
async def test_a_node_that_cannot_serve_files_now_is_not_asked(
    manager: Manager, start_node: StartNode, fields: dict[str, Any], reason: str
) -> None:
    node = await start_node(id="one")
    await manager.join(node, *fields.pop("servers", [box()]), **fields)
    held = await manager.client.get(f"/v1/sandboxes/{handle('one')}")
    assert problem(held) == (503, "server_unavailable")
    assert reason in held.json()["detail"]
    assert held.headers["retry-after"] == "1"
    assert problem(await manager.client.get("/v1/files/x")) == (503, "no_node")
    assert asked(node) == []


async def test_without_any_node_there_is_nobody_to_ask(manager: Manager) -> None:
    for path in ("/v1/files/x", "/v1/sandboxes"):
        assert problem(await manager.client.get(path)) == (503, "no_node")


async def test_a_file_goes_to_another_node_if_one_does_not_take_it(
    manager: Manager, start_node: StartNode
) -> None:
    dead = await joined(manager, start_node, "dead")
    await dead.stop()
    alive = await joined(manager, start_node, "alive")
    for number in range(6):
        answer = await manager.client.put(f"/v1/files/{number}", content=b"12345")
        assert answer.status_code == 200
    assert [request.body for request in alive.others if request.method == "PUT"] == [b"12345"] * 6


async def test_a_sandbox_is_never_looked_for_on_another_node(
    manager: Manager, start_node: StartNode
) -> None:
    dead = await joined(manager, start_node, "dead")
    other = await joined(manager, start_node, "other")
    await dead.stop()
    answer = await manager.client.put(f"/v1/sandboxes/{handle('dead')}/files/x", content=b"1")
    assert problem(answer) == (503, "no_node")
    assert "Nothing happened" in answer.json()["detail"]
    assert asked(other) == []


async def break_files(exchange: Exchange) -> None:
    """Answer probes, and close the connection on everything else without a word."""
    if exchange.request.path != "/livez":
        raise ConnectionError
    await exchange.reply(200, b"{}")


async def test_a_node_that_breaks_off_is_lost_and_a_change_is_not_sent_twice(
    manager: Manager, start_node: StartNode
) -> None:
    one = await joined(manager, start_node, "one", alive=break_files)
    two = await joined(manager, start_node, "two", alive=break_files)
    answer = await manager.client.put("/v1/files/x", content=b"1")
    assert problem(answer) == (502, "node_lost")
    assert len(asked(one) + asked(two)) == 1
    two.alive = saying({})
    assert (await manager.client.get("/v1/files/x")).status_code == 200


@pytest.mark.parametrize("status", [401, 421])
async def test_what_a_node_thinks_of_us_is_not_told_to_the_agent(
    manager: Manager, start_node: StartNode, status: int
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.reply(200 if exchange.request.path == "/livez" else status, b"{}")

    one = await joined(manager, start_node, "one", alive=refuse)
    two = await joined(manager, start_node, "two", alive=refuse)
    for method, nodes in (("GET", 2), ("PUT", 1)):
        before = len(asked(one) + asked(two))
        content = b"1" if method == "PUT" else None
        answer = await manager.client.request(method, "/v1/files/x", content=content)
        assert problem(answer) == (503, "no_node")
        assert len(asked(one) + asked(two)) - before == nodes


@pytest.mark.parametrize("error", [ServerCrashed("it died"), ServerUnavailable("not now")])
async def test_what_a_node_says_is_passed_on_as_it_said_it(
    manager: Manager, start_node: StartNode, error: ServerCrashed | ServerUnavailable
) -> None:
    await joined(manager, start_node, "one", alive=refuse_with(error))
    answer = await manager.client.get("/v1/files/x")
    assert answer.json() == error.problem()


async def test_sandboxes_of_all_nodes_are_listed(manager: Manager, start_node: StartNode) -> None:
    for name in ("one", "two"):
        await joined(manager, start_node, name, alive=saying({"sandboxes": [{"sandbox_id": name}]}))
    plain = await start_node(id="plain")
    await manager.join(plain, server("tools"))
    answer = await manager.client.get("/v1/sandboxes", headers={"X-Session-Id": "s1"})
    found = [{"sandbox_id": "one"}, {"sandbox_id": "two"}]
    assert answer.json() == {"sandboxes": found, "failed": {}}
    assert asked(plain) == []


async def other_answer(exchange: Exchange) -> None:
    await exchange.reply(200, b'{"sandboxes": "none"}')


@pytest.mark.parametrize(
    "behaviour",
    [
        scripted_node.break_off,
        scripted_node.not_json,
        other_answer,
        refuse_with(ServerUnavailable("not now")),
    ],
)
async def test_a_list_says_which_node_could_not_be_asked(
    manager: Manager, start_node: StartNode, behaviour: Behaviour
) -> None:
    await joined(manager, start_node, "bad", alive=behaviour)
    assert problem(await manager.client.get("/v1/sandboxes")) == (503, "no_node")
    good = await joined(manager, start_node, "good", alive=saying({"sandboxes": []}))
    answer = (await manager.client.get("/v1/sandboxes", headers={"X-Session-Id": "s1"})).json()
    assert (answer["sandboxes"], list(answer["failed"])) == ([], ["bad"])
    assert answer["failed"]["bad"]
    assert good.others[-1].headers["x-agentdock-owner"] == "alice/s1"


async def test_what_is_not_there_is_not_found(manager: Manager, start_node: StartNode) -> None:
    node = await joined(manager, start_node, "one")
    for method, path in (("DELETE", "/v1/sandboxes"), ("GET", "/v1/filesystem")):
        assert problem(await manager.client.request(method, path)) == (404, "not_found")
    assert asked(node) == []


async def test_a_bad_session_is_refused(manager: Manager, start_node: StartNode) -> None:
    node = await joined(manager, start_node, "one")
    for name in ("a/b", "", "x" * 200, "../x"):
        answer = await manager.client.get("/v1/files/x", headers={"X-Session-Id": name})
        assert problem(answer) == (400, "bad_request")
    assert asked(node) == []


async def test_an_administrator_has_files_of_its_own(
    manager: Manager, start_node: StartNode
) -> None:
    node = await joined(manager, start_node, "one")
    del manager.client.headers["authorization"]
    await manager.get("/v1/files/x", **{"X-Agentdock-Owner": "alice"})
    assert node.others[-1].headers["x-agentdock-owner"] == "ops"
