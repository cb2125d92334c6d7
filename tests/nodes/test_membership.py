"""Joining, reporting and leaving, against a manager that answers as told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from nodes.membership import Membership
from tests.nodes.running import eventually
from tests.serving import serve
from wire.faces.http import Receive, Scope, Send, read_body, send_json
from wire.models import NodeReport, NodeState

SECRET = "0123456789abcdef"
NODE = NodeReport(
    id="node-1", boot="b", profile="explore", url="http://127.0.0.1:1", state=NodeState.READY
)


class Manager:
    """Keeps the requests it got."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[tuple[str, str, bytes]] = []
        self.tokens: set[bytes] = set()

    @property
    def reports(self) -> list[bytes]:
        return [body for method, _, body in self.requests if method == "PUT"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = await read_body(receive, 1_000_000)
        target = scope["path"] + "?" * bool(scope["query_string"]) + scope["query_string"].decode()
        self.requests.append((scope["method"], target, body))
        self.tokens.add(dict(scope["headers"])[b"authorization"])
        await send_json(send, self.status, b'{"report_every_s": 1.0}')


@asynccontextmanager
async def member_of(*urls: str, every_s: float) -> AsyncIterator[Membership]:
    """Run a membership while the context is open."""
    membership = Membership(urls, SECRET, lambda: NODE, every_s)
    task = asyncio.create_task(membership.run())
    try:
        yield membership
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_node_reports_itself_and_leaves_at_the_end() -> None:
    manager = Manager()
    async with serve(manager) as url:
        async with member_of(url, every_s=60):
            await eventually(lambda: manager.reports)
        assert [(method, path) for method, path, _ in manager.requests] == [
            ("PUT", "/v1/nodes/node-1/report"),
            ("DELETE", "/v1/nodes/node-1?boot=b"),
        ]
    assert NodeReport.model_validate(json.loads(manager.reports[0])) == NODE
    assert manager.tokens == {f"Bearer {SECRET}".encode()}


async def test_a_change_is_reported_at_once_and_the_rest_in_time() -> None:
    manager = Manager()
    async with serve(manager) as url:
        async with member_of(url, every_s=60) as membership:
            await eventually(lambda: len(manager.reports) == 1)
            membership.changed()
            await eventually(lambda: len(manager.reports) == 2)
        async with member_of(url, every_s=0.01):
            await eventually(lambda: len(manager.reports) > 5)


async def test_an_outage_of_the_manager_is_one_line_and_the_node_rejoins(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nodes.membership")
    manager = Manager()
    async with serve(manager) as url, member_of(url, every_s=0.01):
        await eventually(lambda: manager.reports)
        manager.status = 503
        seen = len(manager.reports)
        await eventually(lambda: len(manager.reports) > seen + 3)
        manager.status = 200
        await eventually(lambda: caplog.text.count("joined manager") == 2)
    assert caplog.text.count("refuses the report: 503") == 1


async def test_of_several_managers_the_next_is_told_when_one_does_not_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nodes.membership")
    second = Manager()
    async with serve(second) as url, member_of("http://127.0.0.1:1", url, every_s=0.01):
        await eventually(lambda: len(second.reports) > 3)
    assert caplog.text.count("cannot be reached") == 1
    assert [method for method, _, _ in second.requests][-1] == "DELETE"


async def test_only_one_of_several_managers_is_told_while_it_takes_reports() -> None:
    first, second = Manager(), Manager()
    async with serve(first) as one, serve(second) as two:
        async with member_of(one, two, every_s=0.01):
            await eventually(lambda: len(first.reports) > 3)
            assert second.requests == []
            first.status = 503
            await eventually(lambda: len(second.reports) > 3)
            seen = len(first.reports)
            first.status = 200
            await eventually(lambda: len(second.reports) > 6)
        assert len(first.reports) == seen
        assert second.requests[-1][0] == "DELETE"


async def test_managers_that_cannot_keep_reports_all_hear_of_the_node() -> None:
    managers = [Manager(), Manager()]
    for manager in managers:
        manager.status = 503
    both = (serve(manager) for manager in managers)
    async with next(both) as one, next(both) as two, member_of(one, two, every_s=0.01):
        await eventually(lambda: all(len(manager.reports) > 3 for manager in managers))


async def test_a_wrong_secret_is_logged_as_such(caplog: pytest.LogCaptureFixture) -> None:
    manager = Manager()
    manager.status = 401
    async with serve(manager) as url, member_of(url, every_s=0.01):
        await eventually(lambda: len(manager.reports) > 3)
    assert caplog.text.count("AGENTDOCK_SECRET must be the same for both") == 1
    assert "DELETE" not in [method for method, _, _ in manager.requests]


async def test_a_manager_that_is_not_there_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async with member_of("http://127.0.0.1:1", every_s=0.01):
        await eventually(lambda: "cannot be reached" in caplog.text)
    assert caplog.text.count("cannot be reached") == 1


async def test_a_report_that_cannot_be_written_costs_one_round_only() -> None:
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    broken = NODE.model_copy(update={"problems": deep})
    reports = [broken, NODE]
    manager = Manager()
    async with serve(manager) as url:
        told = Membership([url], SECRET, lambda: reports.pop(0) if reports[1:] else NODE, 0.02)
        task = asyncio.create_task(told.run())
        await eventually(lambda: manager.reports)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_manager_url_that_is_none_is_noted_and_tried_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with member_of("http://localhost:notaport", every_s=0.02):
        await eventually(lambda: "cannot be told" in caplog.text)
