"""A node over HTTP: the link, the faces, restarts, health, and who may do what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from nodes.app import Service, create_service
from nodes.settings import NodeSettings
from tests import leaks
from tests.nodes.running import SCRIPTED, WAIT_S
from tests.serving import serve
from wire import handles

SECRET = "0123456789abcdef"
PEER = {"authorization": f"Bearer {SECRET}"}
PROFILE = f"""
[mcpServers.tools]
command = "python"
args = ["-I", "-S", "{SCRIPTED}"]
[mcpServers.tools.agentdock]
timeout_s = 20
"""


def service_in(folder: Path, profile: str = PROFILE, **fields: Any) -> Service:
    """Assemble a node that keeps everything in `folder`."""
    path = folder / "mine.toml"
    path.write_text(profile)
    values: dict[str, Any] = {"id": "node-1", "secret": SECRET, "data_dir": folder}
    settings = NodeSettings.model_validate(values | {"profile": str(path)} | fields)
    return create_service(settings, lambda: {"PATH": "/bin:/usr/bin"})


@asynccontextmanager
async def node(
    folder: Path, profile: str = PROFILE, ready: int = 200, **fields: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Run a node and yield a client for it, when it is as ready as it should be."""
    service = service_in(folder, profile, **fields)
    transport = httpx.ASGITransport(service.front)
    async with (
        service.node.life(),
        service.front.run(),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        await readiness(client, ready)
        yield client


async def readiness(client: httpx.AsyncClient, status: int = 200) -> None:
    """Wait until `/readyz` answers with a status."""
    async with asyncio.timeout(WAIT_S):
        while (await client.get("/readyz")).status_code != status:
            await turn()


async def turn() -> None:
    """Let the rest of the event loop work."""
    await asyncio.sleep(0)


async def link(client: httpx.AsyncClient, tool: str, **arguments: Any) -> httpx.Response:
    body = json.dumps({"name": tool, "arguments": arguments})
    headers = {**PEER, "x-timeout-seconds": "5", "content-type": "application/json"}
    return await client.post("/link/tools", content=body, headers=headers)


async def test_a_call_over_the_link_gets_the_servers_response_as_it_came(tmp_path: Path) -> None:
    async with node(tmp_path) as client:
        answer = await link(client, "echo", text="hi")
        refused = await link(client, "nonsense")
    assert answer.json()["result"] == {"content": [{"type": "text", "text": "hi"}]}
    assert refused.status_code == 200
    assert refused.json()["error"]["code"] == -32602


async def test_the_platforms_failures_cross_the_link_as_problem_documents(tmp_path: Path) -> None:
    async with node(tmp_path) as client:
        headers = {**PEER, "x-timeout-seconds": "0.05"}
        late = await client.post(
            "/link/tools", json={"name": "sleep", "arguments": {"seconds": 9}}, headers=headers
        )
        died = await link(client, "die")
        gone = await client.post("/link/none", json={}, headers=headers)
    assert (late.status_code, late.json()["code"]) == (504, "call_timed_out")
    assert (died.status_code, died.json()["code"]) == (502, "server_crashed")
    assert (gone.status_code, gone.json()["code"]) == (503, "server_unavailable")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"name":"echo"}\n{"jsonrpc":"2.0","id":1}', {"x-timeout-seconds": "5"}),
        (b"", {"x-timeout-seconds": "5"}),
        (b"{}", {}),
        (b"{}", {"x-timeout-seconds": "soon"}),
        (b"{}", {"x-timeout-seconds": "nan"}),
        (b"{}", {"x-timeout-seconds": "-1"}),
    ],
)
async def test_what_is_no_call_is_refused_on_the_link(
    tmp_path: Path, body: bytes, headers: dict[str, str]
) -> None:
    async with node(tmp_path) as client:
        answer = await client.post(
            "/link/tools",
            content=body,
            headers={**PEER, **headers, "content-type": "application/json"},
        )
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_only_who_knows_the_secret_may_use_the_link(tmp_path: Path) -> None:
    async with node(tmp_path) as client:
        nobody = await client.post("/link/tools", json={})
        stranger = await client.post("/link/tools", json={}, headers={"x-api-key": "x" * 16})
    assert nobody.status_code == 403
    assert stranger.status_code == 401


async def test_a_caller_who_hangs_up_has_the_call_cancelled_at_the_server(tmp_path: Path) -> None:
    front = service_in(tmp_path).front
    async with serve(front) as url, httpx.AsyncClient(base_url=url) as client:
        await readiness(client)
        with pytest.raises(httpx.ReadTimeout):
            await client.post(
                "/v1/tools/sleep/call", json={"arguments": {"seconds": 15}}, timeout=0.4
            )
        async with asyncio.timeout(WAIT_S):
            while (await _server(client))["in_flight"]:
                pass
        told = (await client.post("/v1/tools/told/call", json={"arguments": {}})).text
    assert "notifications/cancelled" in told


async def _server(client: httpx.AsyncClient) -> dict[str, Any]:
    servers: list[dict[str, Any]] = (await client.get("/v1/servers")).json()["servers"]
    return servers[0]


async def test_an_agent_may_call_the_node_itself_on_loopback(tmp_path: Path) -> None:
    async with node(tmp_path) as client:
        answer = await client.post("/v1/tools/echo/call", json={"arguments": {"text": "hi"}})
        servers = (await client.get("/mcpapi/servers")).json()
    assert answer.json()["content"] == [{"type": "text", "text": "hi"}]
    assert answer.json()["node"] == "node-1"
    assert servers == {"servers": ["tools"]}


async def test_a_node_beyond_loopback_takes_nobody_without_the_secret(tmp_path: Path) -> None:
    async with node(tmp_path, host="0.0.0.0") as client:
        closed = [
            await client.get("/v1/tools"),
            await client.get("/v1/servers"),
            await client.post("/v1/servers/tools/restart"),
        ]
        opened = await client.get("/v1/tools", headers=PEER)
        alive = await client.get("/alive")
    assert [answer.status_code for answer in closed] == [401, 401, 401]
    assert opened.status_code == 200
    assert alive.json() == {"status": "alive"}


async def test_a_restart_is_accepted_and_gives_a_new_process(tmp_path: Path) -> None:
    async with node(tmp_path) as client:
        old = (await _server(client))["pid"]
        accepted = await client.post("/v1/servers/tools/restart", headers=PEER)
        unknown = await client.post("/v1/servers/none/restart", headers=PEER)
        async with asyncio.timeout(WAIT_S):
            while (await _server(client))["pid"] == old:
                await turn()
    assert (accepted.status_code, accepted.json()["server"]) == (202, "tools")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_a_node_without_any_tool_is_not_ready_and_says_why(tmp_path: Path) -> None:
    async with node(tmp_path, '[mcpServers.bad]\ncomand = "x"\n', ready=503) as client:
        answer = (await client.get("/readyz")).json()
        health = await client.get("/health")
        alive = await client.get("/livez")
    assert answer["status"] == "unready"
    assert answer["servers"] == {"bad": "failed"}
    assert "Did you mean `command`?" in answer["problems"][0]
    assert (health.status_code, alive.status_code) == (200, 200)


async def test_a_node_with_one_broken_server_is_degraded_and_serves_the_rest(
    tmp_path: Path,
) -> None:
    async with node(tmp_path, f"{PROFILE}\n[mcpServers.bad]\nurl = 'ftp://x'\n") as client:
        answer = (await client.get("/readyz")).json()
    assert answer["status"] == "degraded"
    assert answer["servers"] == {"bad": "failed", "tools": "ready"}


async def test_a_tool_server_gets_a_handle_prefix_and_never_the_secret(tmp_path: Path) -> None:
    async with node(tmp_path) as client:
        answer = await client.post("/v1/tools/environ/call", json={"arguments": {}})
    environ = json.loads(answer.json()["content"][0]["text"])
    assert environ["AGENTDOCK_HANDLE_PREFIX"] == handles.prefix(SECRET, "node-1")
    assert environ.keys() <= {
        "PATH",
        "LC_CTYPE",
        "AGENTDOCK_HANDLE_PREFIX",
        "AGENTDOCK_INSTANCE",
    }
    assert SECRET not in json.dumps(environ)


async def test_everything_ends_with_the_lifespan(tmp_path: Path) -> None:
    before = leaks.descendants()
    async with node(tmp_path):
        assert leaks.descendants() - before
    assert not leaks.left_since(before)
