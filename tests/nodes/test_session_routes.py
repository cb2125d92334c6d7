"""Session-scoped tool servers over HTTP: who says whose call it is, and who may end a Session."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.nodes.running import SCRIPTED
from tests.nodes.test_app import PEER, node

PROFILE = f"""
[mcpServers.tools]
command = "python"
args = ["-I", "-S", "{SCRIPTED}"]
[mcpServers.tools.agentdock]
scope = "session"
"""


async def linked(client: httpx.AsyncClient, owner: str | None) -> httpx.Response:
    headers = {**PEER, "x-timeout-seconds": "5", "content-type": "application/json"}
    if owner is not None:
        headers["x-agentdock-owner"] = owner
    body = json.dumps({"name": "pid", "arguments": {}})
    return await client.post("/link/tools", content=body, headers=headers)


async def pid(client: httpx.AsyncClient, owner: str) -> str:
    return str((await linked(client, owner)).json()["result"]["content"][0]["text"])


async def test_the_link_says_whose_call_it_is(tmp_path: Path) -> None:
    async with node(tmp_path, PROFILE) as client:
        one, two = await pid(client, "alice/s1"), await pid(client, "alice/s2")
        assert one != two
        assert await pid(client, "alice/s1") == one
        unnamed = await linked(client, None)
    assert (unnamed.status_code, unnamed.json()["code"]) == (503, "server_unavailable")


async def test_an_owner_in_a_header_is_believed_of_a_manager_alone(tmp_path: Path) -> None:
    claim = {"x-agentdock-owner": "alice/s1"}
    async with node(tmp_path, PROFILE) as client:
        old = await pid(client, "alice/s1")
        foreign = await client.delete("/v1/sessions/s1", headers=claim)
        assert foreign.json() == {"session": "s1", "closed": 0, "sandboxes": 0}
        assert await pid(client, "alice/s1") == old
        closed = await client.delete("/v1/sessions/s1", headers={**PEER, **claim})
        assert closed.json() == {"session": "s1", "closed": 1, "sandboxes": 0}
        assert await pid(client, "alice/s1") != old


async def test_a_caller_of_the_node_itself_ends_its_own_session(tmp_path: Path) -> None:
    mine = {"x-session-id": "s1"}
    async with node(tmp_path, PROFILE) as client:
        await client.post("/v1/tools/pid/call", json={}, headers=mine)
        closed = await client.delete("/v1/sessions/s1")
    assert closed.json()["closed"] == 1
