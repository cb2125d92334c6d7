"""A caller closes its own Sessions, on every node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from manager.app import create_app
from manager.launchers.external import ExternalLauncher
from manager.stores.sqlite import SqliteStore
from tests.fakes.scripted_node import Behaviour, refuse_with
from tests.manager.conftest import StartNode
from tests.manager.test_app import AGENT, KEYS, PEER, Manager, settings
from tests.serving import serve
from wire.errors import ServerUnavailable


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    store = SqliteStore(":memory:")
    app = create_app(settings(tmp_path, API_KEYS=KEYS), store=store, launcher=ExternalLauncher())
    async with serve(app) as url, httpx.AsyncClient(base_url=url, timeout=5) as client:
        yield Manager(client)


def closes(count: int) -> Behaviour:
    body = b'{"session": "s1", "closed": %d, "sandboxes": 2}' % count
    return lambda exchange: exchange.reply(200, body)


async def test_every_node_is_told_whose_session_ends_and_the_answer_says_what_came_of_it(
    manager: Manager, start_node: StartNode
) -> None:
    one, two = [await start_node(id=name) for name in ("one", "two")]
    one.alive, two.alive = closes(1), refuse_with(ServerUnavailable("cannot now"))
    for node in (one, two):
        await manager.join(node)
    answer = await manager.client.delete("/v1/sessions/s1", headers=AGENT)
    assert answer.json() == {
        "session": "s1",
        "closed": {"one": 1},
        "sandboxes": {"one": 2},
        "failed": {"two": "cannot now"},
    }
    request = one.others[0]
    assert (request.method, request.path) == ("DELETE", "/v1/sessions/s1")
    assert request.headers["authorization"] == PEER["authorization"]
    assert request.headers["x-agentdock-owner"] == "alice/s1"


async def test_an_owner_that_a_caller_claims_in_a_header_is_not_believed(
    manager: Manager, start_node: StartNode
) -> None:
    node = await start_node()
    node.alive = closes(0)
    await manager.join(node)
    claim = {**AGENT, "x-agentdock-owner": "bob/s1"}
    await manager.client.delete("/v1/sessions/s1", headers=claim)
    assert node.others[0].headers["x-agentdock-owner"] == "alice/s1"


async def test_closing_needs_a_key_and_a_sessions_name(manager: Manager) -> None:
    assert (await manager.client.delete("/v1/sessions/s1")).status_code == 401
    odd = await manager.client.delete("/v1/sessions/a%20b", headers=AGENT)
    assert (odd.status_code, odd.json()["code"]) == (400, "bad_request")
