"""Keys, roles and secrets across the platform's real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.platform.running import platform
from tests.platform.tools import profile

pytestmark = pytest.mark.slow

AGENT = {"Authorization": "Bearer agent-key-0123456789"}
ADMIN = {"X-API-Key": "admin-key-0123456789"}
KEYS = "alice:agent:agent-key-0123456789,ops:admin:admin-key-0123456789"
ADMINISTRATIVE = [
    ("GET", "/v1/nodes"),
    ("GET", "/v1/servers"),
    ("GET", "/v1/servers/tools"),
    ("POST", "/v1/servers"),
    ("PUT", "/v1/servers/tools"),
    ("DELETE", "/v1/servers/tools"),
    ("POST", "/v1/import"),
    ("GET", "/v1/export"),
    ("GET", "/api/resources/system"),
    ("POST", "/v1/servers/tools/restart"),
    ("DELETE", "/v1/nodes/one"),
    ("PUT", "/v1/nodes/one/report"),
]


async def test_an_agent_key_calls_tools_and_is_refused_everything_administrative(
    tmp_path: Path,
) -> None:
    async with platform(tmp_path, {}, AGENTDOCK_MANAGER_API_KEYS=KEYS) as running:
        running.client.headers.update(ADMIN)
        running.start_node("one", profile())
        await running.ready("one")
        call = "/v1/tools/echo/call"
        body = {"arguments": {"text": "hi"}}
        without = await asyncio.to_thread(_status_without_key, f"{running.url}{call}")
        assert without == 401
        del running.client.headers["x-api-key"]
        assert (await running.client.post(call, json=body, headers=AGENT)).status_code == 200
        for method, path in ADMINISTRATIVE:
            answer = await running.client.request(method, path, headers=AGENT, json={})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        for path in ("/livez", "/readyz", "/health", "/alive"):
            assert (await running.client.get(path)).status_code == 200
        calls = (await running.client.get("/v1/calls", headers=ADMIN)).json()["calls"]
        log = (tmp_path / "manager" / "log").read_text()
    assert "alice" in {record["owner"] for record in calls}
    assert "agent-key-0123456789" not in log


def _status_without_key(url: str) -> int:
    return httpx.post(url, json={"arguments": {"text": "hi"}}).status_code


async def test_a_canary_of_the_nodes_environment_never_reaches_a_tool_server(
    tmp_path: Path,
) -> None:
    canary = "canary-7f3a"
    extra = {"CANARY": canary, "AGENTDOCK_MANAGER_API_KEYS": f"ops:admin:{canary}-0123456789"}
    async with platform(tmp_path, {}, **extra) as running:
        running.client.headers["Authorization"] = f"Bearer {canary}-0123456789"
        running.start_node("one", profile())
        await running.ready("one")
        pid = (await running.nodes())["one"]["servers"][0]["pid"]
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode()
    assert "PATH=" in environ
    assert canary not in environ
    assert "AGENTDOCK_SECRET" not in environ
