"""Spans of calls, as a collector gets them over HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from manager.app import create_app
from manager.launchers.external import ExternalLauncher
from manager.stores.sqlite import SqliteStore
from tests.fakes.scripted_node import ScriptedNode, refuse_with, respond
from tests.manager.conftest import StartNode
from tests.manager.test_app import KEYS, Manager, settings
from tests.serving import serve
from wire.errors import ServerCrashed
from wire.settings import SettingsError

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
AGENT = {"authorization": "Bearer alice-key-0123456789", "traceparent": f"00-{TRACE}-{PARENT}-01"}


class Collector:
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.url = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("post /v1/traces ")
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        request = ExportTraceServiceRequest.FromString(await reader.readexactly(int(length)))
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    await made.start()
    yield made
    await made.stop()


async def call_once(folder: Path, endpoint: str, node: ScriptedNode) -> httpx.Response:
    """Call a tool through a manager that traces; when this returns, the manager has ended."""
    app = create_app(
        settings(folder, API_KEYS=KEYS, OTLP_ENDPOINT=endpoint),
        store=SqliteStore(":memory:"),
        launcher=ExternalLauncher(),
    )
    async with serve(app) as url, httpx.AsyncClient(base_url=url) as client:
        await Manager(client).join(node)
        return await client.post("/v1/tools/echo/call", json={"arguments": {}}, headers=AGENT)


def attributes(span: Span) -> dict[str, Any]:
    return {a.key: a.value.string_value for a in span.attributes}


async def test_a_call_is_a_span_below_the_callers_and_above_the_tools(
    tmp_path: Path, start_node: StartNode, collector: Collector
) -> None:
    node = await start_node()
    answer = await call_once(tmp_path, collector.url, node)
    assert answer.status_code == 200
    (span,) = collector.spans
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.name == "tools/call echo"
    found = attributes(span)
    assert found["gen_ai.operation.name"] == "execute_tool"
    assert found["gen_ai.tool.name"] == "echo"
    assert found["agentdock.node"] == "one"
    assert found["agentdock.call_id"] == answer.json()["call_id"]
    assert "error.type" not in found
    passed_on = node.calls[0].params["_meta"]["traceparent"]
    assert passed_on == f"00-{TRACE}-{span.span_id.hex()}-01"


@pytest.mark.parametrize("kind", ["tool_error", "server_crashed"])
async def test_a_failure_is_told_by_its_kind(
    tmp_path: Path, start_node: StartNode, collector: Collector, kind: str
) -> None:
    behaviours = {
        "tool_error": respond({"result": {"content": [], "isError": True}}),
        "server_crashed": refuse_with(ServerCrashed("It died.")),
    }
    await call_once(tmp_path, collector.url, await start_node(behaviour=behaviours[kind]))
    (span,) = collector.spans
    assert attributes(span)["error.type"] == kind
    assert span.status.message == kind


async def test_a_collector_that_is_away_costs_no_call(
    tmp_path: Path, start_node: StartNode
) -> None:
    async with asyncio.timeout(20):
        answer = await call_once(tmp_path, "http://127.0.0.1:9", await start_node())
    assert answer.status_code == 200


def test_without_the_extra_the_start_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "manager.tracing", raising=False)
    with pytest.raises(SettingsError, match="pip install"):
        create_app(settings(tmp_path, OTLP_ENDPOINT="http://127.0.0.1:9"))
