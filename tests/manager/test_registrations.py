"""Registering tool servers over HTTP, with scripted nodes that report what they were told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.app import create_app
from manager.launchers.external import ExternalLauncher
from manager.registrations import Registrations
from manager.stores.sqlite import SqliteStore
from tests.fakes.scripted_node import Exchange, ScriptedNode, server, tool
from tests.manager.conftest import StartNode
from tests.manager.test_app import ADMIN, AGENT, KEYS, Manager, settings
from tests.serving import serve
from wire.errors import Conflict, StoreUnavailable
from wire.models import NodeReport, Registration, ServerState

ENTRY: dict[str, Any] = {"command": "dice", "env": {"API_KEY": "sk-canary-123"}}


class FailingStore(SqliteStore):
    """A store that can be told to fail when a registration is saved."""

    fails = False

    async def save_registration(self, registration: Registration, replaces: int | None) -> bool:
        if self.fails:
            raise StoreUnavailable("The store is away.")
        return await super().save_registration(registration, replaces)


@pytest.fixture
def store() -> FailingStore:
    return FailingStore(":memory:")


@pytest.fixture
async def manager(tmp_path: Path, store: FailingStore) -> AsyncIterator[Manager]:
    app = create_app(settings(tmp_path, API_KEYS=KEYS), store=store, launcher=ExternalLauncher())
    async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
        yield Manager(client)


class Hosting:
    """A node that plugs in what it is told, and reports that."""

    def __init__(
        self, node: ScriptedNode, manager: Manager, profile: str = "test", **fields: Any
    ) -> None:
        self.profile = profile
        self.node = node
        self.manager = manager
        self.fields = {"state": ServerState.READY} | fields
        self.known: dict[str, Registration] = {}
        self.tasks: list[asyncio.Task[Any]] = []
        node.alive = self.told

    async def told(self, exchange: Exchange) -> None:
        if exchange.request.method != "PUT":
            await exchange.reply(200, b"{}")
            return
        for raw in exchange.request.params:
            registration = Registration.model_validate(raw)
            self.known[registration.name] = registration
        await exchange.reply(204, b"")
        self.tasks.append(asyncio.create_task(self.report()))

    def statement(self) -> NodeReport:
        live = {name: r for name, r in self.known.items() if r.entry is not None}
        plugged = [server(n, tool("roll", n), source="api", **self.fields) for n in live]
        report = self.node.report(server("echo", tool("echo"), source="p/test.toml"), *plugged)
        return report.model_copy(
            update={
                "registered": {name: r.revision for name, r in live.items()},
                "profile": self.profile,
            }
        )

    async def report(self) -> list[Registration]:
        answer = await self.manager.send(self.statement())
        return [Registration.model_validate(r) for r in answer.json()["registrations"]]


@pytest.fixture
async def hosting(manager: Manager, start_node: StartNode) -> AsyncIterator[Hosting]:
    made = Hosting(await start_node(), manager)
    await made.report()
    yield made
    await asyncio.gather(*made.tasks)


async def post(manager: Manager, **fields: Any) -> httpx.Response:
    body = {"name": "dice", "profile": "test", "entry": ENTRY} | fields
    return await manager.client.post("/v1/servers", json=body, headers=ADMIN)


async def test_registering_plugs_in_and_tells_what_became_of_it(
    manager: Manager, hosting: Hosting
) -> None:
    answer = await post(manager)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["nodes"] == {"one": {"state": "ready", "tools": ["roll"], "error": None}}
    assert made["entry"] == {"command": "dice", "env": {"API_KEY": "***"}}
    assert hosting.known["dice"].entry == ENTRY
    details = (await manager.get("/v1/servers/dice")).json()
    assert details["registration"]["entry"] == made["entry"]
    assert details["nodes"][0]["source"] == "api"
    assert "sk-canary-123" not in (await manager.get("/v1/export")).text
    gone = await manager.client.delete("/v1/servers/dice", headers=ADMIN)
    assert gone.json()["nodes"] == {"one": {"state": "unplugged", "tools": [], "error": None}}
    assert (await manager.get("/v1/servers/dice")).status_code == 404
    again = await manager.client.delete("/v1/servers/dice", headers=ADMIN)
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


async def test_a_tool_server_that_does_not_start_is_registered_and_its_error_told(
    manager: Manager, start_node: StartNode
) -> None:
    fields = {"state": ServerState.BACKING_OFF, "error": "no such program"}
    hosting = Hosting(await start_node(), manager, **fields)
    await hosting.report()
    on_node = (await post(manager)).json()["nodes"]["one"]
    assert (on_node["state"], on_node["error"]) == ("backing_off", "no such program")
    await asyncio.gather(*hosting.tasks)


async def test_a_node_that_missed_it_learns_it_from_the_answer_to_its_report(
    manager: Manager, start_node: StartNode
) -> None:
    hosting = Hosting(await start_node(), manager)
    await hosting.report()
    await hosting.node.stop()
    on_node = (await post(manager)).json()["nodes"]["one"]
    assert on_node["state"] == "unknown"
    assert "next report" in on_node["error"]
    [lacking] = await hosting.report()
    assert (lacking.name, lacking.entry) == ("dice", ENTRY)
    hosting.known["dice"] = lacking
    assert await hosting.report() == []
    gone = await manager.client.delete("/v1/servers/dice", headers=ADMIN)
    assert gone.status_code == 200
    [lacking] = await hosting.report()
    assert lacking.entry is None


async def test_what_moves_to_another_profile_leaves_the_nodes_of_the_first(
    manager: Manager, start_node: StartNode
) -> None:
    hosting = Hosting(await start_node(), manager)
    other = Hosting(await start_node(id="two"), manager, "other")
    await other.report()
    await hosting.report()
    await post(manager)
    moved = await manager.client.put(
        "/v1/servers/dice", json={"profile": "other", "entry": ENTRY}, headers=ADMIN
    )
    states = {node: told["state"] for node, told in moved.json()["nodes"].items()}
    assert states == {"one": "unplugged", "two": "ready"}
    assert hosting.known["dice"].entry is None
    assert other.known["dice"].entry == ENTRY
    await asyncio.gather(*hosting.tasks, *other.tasks)


@pytest.mark.parametrize(
    ("fields", "status", "code", "text"),
    [
        ({"name": "echo"}, 409, "conflict", "p/test.toml"),
        ({"profile": "tset"}, 422, "bad_entry", "There is test"),
        ({"entry": {"comand": "x"}}, 422, "bad_entry", "Did you mean `command`"),
        ({"entry": {"command": "x", "env": {"A": "***"}}}, 422, "bad_entry", "not shown"),
        ({"name": "a__b"}, 422, "bad_entry", "cannot name"),
        ({"entry": {"command": "${AGENTDOCK_SECRET}"}}, 422, "bad_entry", "never given"),
    ],
)
async def test_a_bad_registration_is_refused_and_nothing_is_kept(
    manager: Manager,
    hosting: Hosting,
    store: FailingStore,
    fields: dict[str, Any],
    status: int,
    code: str,
    text: str,
) -> None:
    answer = await post(manager, **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert text in answer.json()["detail"]
    assert await store.registrations() == []
    assert hosting.known == {}


async def test_a_registered_name_is_replaced_only_by_put(
    manager: Manager, hosting: Hosting
) -> None:
    first = (await post(manager)).json()
    refused = await post(manager)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    body = {"profile": "*", "entry": {"command": "other"}}
    second = await manager.client.put("/v1/servers/dice", json=body, headers=ADMIN)
    assert second.json()["revision"] > first["revision"]
    assert hosting.known["dice"].entry == {"command": "other"}


async def test_an_agent_may_not_register(manager: Manager, hosting: Hosting) -> None:
    body = {"name": "dice", "profile": "test", "entry": ENTRY}
    answers = [
        await manager.client.post("/v1/servers", json=body, headers=AGENT),
        await manager.client.delete("/v1/servers/echo", headers=AGENT),
        await manager.client.post("/v1/import", json={"mcpServers": {}}, headers=AGENT),
        await manager.client.get("/v1/export", headers=AGENT),
        await manager.client.get("/v1/servers/echo", headers=AGENT),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5


async def test_while_the_store_is_away_nothing_is_plugged_in(
    manager: Manager, hosting: Hosting, store: FailingStore
) -> None:
    store.fails = True
    answers = [
        await post(manager),
        await manager.client.post(
            "/v1/import", json={"mcpServers": {"dice": ENTRY}}, headers=ADMIN
        ),
    ]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(503, "store_unavailable")] * 2
    assert hosting.known == {}
    store.fails = False
    assert (await post(manager)).status_code == 201


async def test_a_config_is_imported_entry_by_entry_and_exported_again(
    manager: Manager, hosting: Hosting
) -> None:
    document = {
        "mcpServers": {
            "dice": {**ENTRY, "autoApprove": ["roll"]},
            "echo": {"command": "x"},
            "bad": {"comand": "x"},
        }
    }
    body = f"// as people write it\n{json.dumps(document)}"
    kind = {"content-type": "application/json"}
    answer = await manager.client.post("/v1/import", content=body, headers=ADMIN | kind)
    imported = answer.json()
    assert list(imported["registered"]) == ["dice"]
    assert "p/test.toml" in imported["failed"]["echo"]
    assert "command" in imported["failed"]["bad"]
    exported = (await manager.get("/v1/export")).json()
    assert exported == {
        "mcpServers": {"dice": {"command": "dice", "env": {"API_KEY": "${API_KEY}"}}}
    }


async def test_two_managers_on_one_store_do_not_overwrite_each_other(tmp_path: Path) -> None:
    store = SqliteStore(":memory:")
    await store.open()
    one, two = (Registrations(store, lambda: 1.0) for _ in range(2))
    first = await one.keep("a", "*", {"command": "1"}, replace=False)
    with pytest.raises(Conflict, match="PUT"):
        await two.keep("a", "*", {"command": "2"}, replace=False)
    second = await two.keep("a", "*", {"command": "2"}, replace=True)
    third = await one.keep("a", "*", {"command": "3"}, replace=True)
    assert first.revision < second.revision < third.revision
    gone = await two.take_back("a")
    assert gone.revision > third.revision
    await one.look()
    assert one.all() == []
    back = await one.keep("a", "*", {"command": "4"}, replace=False)
    assert back.revision > gone.revision
    await store.close()


async def test_what_was_registered_is_known_after_a_restart(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "store.db"))
    await store.open()
    kept = await Registrations(store).keep("a", "*", ENTRY, replace=False)
    await store.close()
    await store.open()
    again = Registrations(store)
    async with again.run():
        assert again.all() == [kept]
    await store.close()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.booleans())))
def test_a_node_is_told_exactly_what_it_lacks(held: list[tuple[str, int, bool]]) -> None:
    registrations = Registrations(SqliteStore(":memory:"))
    for name, revision, live in held:
        registrations._learn(
            Registration(name=name, profile="test", revision=revision, entry={} if live else None)
        )
    report = ScriptedNode().report()
    has: dict[str, int] = {}
    for told in registrations.lacking(report.model_copy(update={"registered": has})):
        assert told.entry is not None
        has[told.name] = told.revision
    told_again = registrations.lacking(report.model_copy(update={"registered": has}))
    assert told_again == []
    assert has == {r.name: r.revision for r in registrations.all()}
    assert orjson.dumps(has)
