"""Call records over HTTP: who sees which, page by page, and what they add up to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.app import create_app
from manager.launchers.external import ExternalLauncher
from manager.stats import group_stats
from manager.stores.calls import CallRecord, CallSum, class_duration_ms, duration_class
from manager.stores.sqlite import SqliteStore
from tests.fakes.scripted_node import server, tool
from tests.manager.conftest import StartNode
from tests.manager.test_app import ADMIN, AGENT, KEYS, Manager, settings
from tests.serving import serve

BOB = {"authorization": "Bearer bob-key-0123456789ab"}
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
async def manager(tmp_path: Path, start_node: StartNode) -> AsyncIterator[Manager]:
    keys = f"{KEYS},bob:agent:bob-key-0123456789ab"
    app = create_app(
        settings(tmp_path, API_KEYS=keys),
        store=SqliteStore(":memory:"),
        launcher=ExternalLauncher(),
    )
    async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
        made = Manager(client)
        node = await start_node()
        strict = {"type": "object", "properties": {"n": {"type": "integer"}}}
        await made.join(node, server("echo", tool("echo"), tool("strict", schema=strict)))
        yield made


async def call(manager: Manager, name: str = "echo", n: object = 1, **headers: str) -> None:
    await manager.client.post(
        f"/v1/tools/{name}/call", json={"arguments": {"n": n}}, headers={**AGENT, **headers}
    )


async def listed(manager: Manager, **query: Any) -> list[dict[str, Any]]:
    answer = await manager.client.get("/v1/calls", params=query, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    calls: list[dict[str, Any]] = answer.json()["calls"]
    return calls


async def test_calls_are_found_by_session_tool_outcome_and_time(manager: Manager) -> None:
    await call(manager, **{"x-session-id": "s1"})
    await call(manager, "strict", "no number", **{"x-session-id": "s1"})
    await call(manager, **{"x-session-id": "s2"})
    await call(manager, **BOB)
    assert [c["owner"] for c in await listed(manager, session="s1")] == ["alice/s1"] * 2
    (bad,) = await listed(manager, outcome="bad_arguments")
    assert bad["tool"] == "strict"
    assert await listed(manager, tool="echo__strict") == [bad]
    assert await listed(manager, tool="echo.strict", session="s2") == []
    assert [c["owner"] for c in await listed(manager, key="bob")] == ["bob"]
    assert len(await listed(manager, since=bad["started_at"], node="one")) == 2
    assert await listed(manager, since="2999-01-01T00:00:00") == []
    assert len(await listed(manager, until="2999-01-01", limit=1000)) == 4


async def test_a_tool_whose_own_name_holds_dots_is_found_by_each_of_its_names(
    tmp_path: Path, start_node: StartNode
) -> None:
    app = create_app(
        settings(tmp_path, API_KEYS=KEYS),
        store=SqliteStore(":memory:"),
        launcher=ExternalLauncher(),
    )
    async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
        manager = Manager(client)
        dotted = tool("files.read__all", "disk")
        await manager.join(await start_node(), server("disk", dotted))
        await call(manager, "files.read__all")
        for name in ("files.read__all", "disk__files.read__all", dotted.qualified, dotted.dotted):
            assert len(await listed(manager, tool=name)) == 1, name
        assert await listed(manager, tool="files.read__none") == []


async def test_pages_follow_one_another(manager: Manager) -> None:
    for n in range(5):
        await call(manager, n=n)
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        answer = (await manager.client.get("/v1/calls", params=query, headers=ADMIN)).json()
        seen += [c["id"] for c in answer["calls"]]
        if answer["next"] is None:
            break
        query["cursor"] = answer["next"]
        await call(manager)
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize(
    "query",
    [{"cursor": "x"}, {"cursor": "WzEsMl0gIQ"}, {"cursor": "e30"}, {"limit": 0}, {"since": "soon"}],
)
async def test_a_bad_parameter_is_refused_by_its_name(
    manager: Manager, query: dict[str, Any]
) -> None:
    answer = await manager.client.get("/v1/calls", params=query, headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert next(iter(query)) in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/calls", "/v1/stats"])
async def test_an_agent_sees_its_own_calls_only(manager: Manager, path: str) -> None:
    await call(manager)
    await call(manager, **BOB)
    mine = (await manager.client.get(path, headers=BOB)).json()
    assert (len(mine["calls"]) if "calls" in mine else mine["total"]["calls"]) == 1
    refused = await manager.client.get(path, params={"key": "alice"}, headers=BOB)
    assert refused.status_code == 403


async def test_stats_tell_errors_durations_bytes_and_redundancy(manager: Manager) -> None:
    for n in (1, 1, 1, 2):
        await call(manager, n=n, **{"x-session-id": "s1"})
    await call(manager, n=1, **{"x-session-id": "s2"})
    await call(manager, "strict", "bad")
    answer = (await manager.client.get("/v1/stats", headers=ADMIN)).json()
    echo, strict = answer["groups"]
    assert (echo["name"], echo["calls"], echo["errors"]) == ("echo__echo", 5, {})
    assert echo["redundancy"] == 0.4
    assert 0 < echo["p50_ms"] <= echo["p95_ms"] <= echo["p99_ms"]
    assert echo["request_bytes"] > 0
    assert (strict["errors"], strict["redundancy"]) == ({"bad_arguments": 1}, None)
    assert answer["total"]["calls"] == 6
    by_key = (await manager.client.get("/v1/stats?by=key&session=s1", headers=ADMIN)).json()
    assert [(g["name"], g["calls"]) for g in by_key["groups"]] == [("alice", 4)]
    nothing = await manager.client.get("/v1/stats?by=weather", headers=ADMIN)
    assert nothing.status_code == 400


@pytest.mark.parametrize("by", ["tool", "server", "node", "key"])
async def test_a_call_repeated_on_another_node_is_repeated_all_the_same(
    tmp_path: Path, by: str
) -> None:
    store = SqliteStore(":memory:")
    app = create_app(settings(tmp_path, API_KEYS=KEYS), store=store, launcher=ExternalLauncher())
    async with serve(app) as url, httpx.AsyncClient(base_url=url, headers=ADMIN) as client:
        now = time.time()
        await store.add_calls(
            [
                CallRecord(f"{node}", "t", "s", node, "alice/s1", now, 1.0, "ok", digest="same")
                for node in ("one", "two")
            ]
        )
        total = (await client.get("/v1/stats", params={"by": by})).json()["total"]
        assert (total["calls"], total["redundancy"]) == (2, 0.5)


@pytest.mark.parametrize(
    ("parent", "trace"),
    [
        (PARENT, TRACE),
        (PARENT.upper(), None),
        (f"ff{PARENT[2:]}", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        ("rubbish", None),
    ],
)
async def test_the_trace_of_a_call_is_recorded_and_passed_on_if_it_is_one(
    tmp_path: Path, start_node: StartNode, parent: str, trace: str | None
) -> None:
    app = create_app(
        settings(tmp_path, API_KEYS=KEYS),
        store=SqliteStore(":memory:"),
        launcher=ExternalLauncher(),
    )
    async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
        manager = Manager(client)
        node = await start_node()
        await manager.join(node)
        await call(manager, traceparent=parent, tracestate="a=1")
        meta = node.calls[0].params["_meta"]
        assert meta.get("traceparent") == (parent if trace else None)
        assert meta.get("tracestate") == ("a=1" if trace else None)
        (record,) = await listed(manager)
        assert record["trace"] == trace
        assert len(await listed(manager, trace=TRACE)) == (1 if trace else 0)
        await asyncio.sleep(0)


@given(st.floats(0.02, 1e7))
def test_a_duration_is_within_two_percent_of_its_class(duration_ms: float) -> None:
    assert abs(class_duration_ms(duration_class(duration_ms)) / duration_ms - 1) < 0.0201


@given(st.lists(st.floats(0.02, 1e6), min_size=1, max_size=50))
def test_percentiles_are_those_of_the_calls(durations: list[float]) -> None:
    sums = [CallSum(("a",), "ok", duration_class(d), 1, 0, 0) for d in durations]
    _, total = group_stats("key", sums, [], [])
    ordered = sorted(durations)
    for share, found in ((0.5, total.p50_ms), (0.95, total.p95_ms), (0.99, total.p99_ms)):
        exact = ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]
        assert found is not None
        assert abs(found / exact - 1) < 0.025 + 0.001 / exact
