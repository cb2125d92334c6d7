"""What somebody meets who has just started the platform in containers."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from mcp.client.client import Client

from tests.compose.deployment import MANAGER, SERVICES, Deployment

EVENT = re.compile(r"\d\d:\d\d:\d\d [A-Z]+ +(manager|node) ")
CODE = {"code_block": "print(6*7)"}


def test_every_service_is_healthy_and_the_first_one_has_ended(deployment: Deployment) -> None:
    listed = deployment.compose("ps", "--all", "--format", "{{.Service}} {{.Status}}").splitlines()
    states = dict(line.split(" ", 1) for line in listed)
    assert states.pop("agentdock-init").startswith("Exited (0)")
    assert set(states) == set(SERVICES)
    assert all("(healthy)" in state for state in states.values()), states


def test_the_first_call_of_the_readme_works_without_a_key(deployment: Deployment) -> None:
    answer = deployment.call("run_python_code", **CODE)
    assert answer.status_code == 200, answer.text
    assert "42" in answer.text


def test_agentdocks_clients_find_their_routes(deployment: Deployment) -> None:
    client = deployment.client
    tools = client.get("/mcpapi/tools").json()["tools"]
    assert "echo.echo" in json.dumps(tools)
    assert client.get("/list_tools").json() == tools
    assert "hello" in client.post("/mcpapi/tool/echo.echo", json={"text": "hello"}).text
    call = {"name": "echo.echo", "arguments": '{"text": "hello"}'}
    asked = {"id": "1", "type": "function", "function": call}
    assert client.post("/call_tool", json=asked).json()["content"].endswith("hello")
    node = next(node for node, state in deployment.nodes().items() if state == "ready")
    assert "echo" in client.get(f"/container/{node}/mcpapi/tools").text


async def test_an_mcp_client_finds_the_tools(deployment: Deployment) -> None:
    async with Client(f"{deployment.client.base_url}/mcp") as client:
        result = await client.call_tool("echo__echo", {"text": "hello"})
        assert "hello" in str(result.content)


def test_an_agent_without_a_key_does_not_administer_but_the_key_does(
    deployment: Deployment,
) -> None:
    assert deployment.client.get("/v1/nodes").status_code == 403
    answer = deployment.client.get("/v1/nodes", headers=deployment.admin())
    assert [it["state"] for it in answer.json()["nodes"]].count("ready") == 2


def test_the_manager_is_published_on_loopback_only(deployment: Deployment) -> None:
    assert deployment.compose("port", MANAGER, "8080").strip() == f"127.0.0.1:{deployment.port}"


def test_a_page_of_another_name_for_loopback_is_refused(deployment: Deployment) -> None:
    answer = deployment.client.get("/v1/tools", headers={"Host": "rebound.example"})
    assert answer.json()["code"] == "host_refused"


def test_each_line_of_the_log_is_one_event(deployment: Deployment) -> None:
    for service in (MANAGER, "agentdock-node-explore", "agentdock-node-full"):
        lines = deployment.compose("logs", "--no-log-prefix", service).splitlines()
        assert any("join" in line for line in lines)
        assert [line for line in lines if not EVENT.match(line)] == [], service


def test_published_elsewhere_without_keys_it_does_not_start_and_says_what_to_add(
    deployment: Deployment,
) -> None:
    env_file = deployment.folder / ".env"
    before = env_file.read_text()
    env_file.write_text(f"{before}AGENTDOCK_MANAGER_HOST=0.0.0.0\n")
    try:
        with pytest.raises(AssertionError, match="agentdock-init"):
            deployment.up()
        said = deployment.compose("logs", "--no-log-prefix", "agentdock-init")
        assert "AGENTDOCK_MANAGER_API_KEYS=me:agent:" in said
        with pytest.raises(httpx.TransportError):
            deployment.client.get("/livez")
        env_file.write_text(
            f"{env_file.read_text()}AGENTDOCK_MANAGER_API_KEYS=alice:agent:{'k' * 24}\n"
        )
        deployment.up()
        assert deployment.call("echo__echo", text="hello").status_code == 401
        key = {"Authorization": f"Bearer {'k' * 24}"}
        assert deployment.client.get("/v1/tools", headers=key).status_code == 200
    finally:
        env_file.write_text(before)
