"""What somebody meets who has just started the platform in containers."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from mcp.client.client import Client

from tests.compose.deployment import (
    EXPLORE,
    INIT,
    MANAGER,
    MOUNTED,
    SERVICES,
    Deployment,
    eventually,
)

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
    published = "AGENTDOCK_MANAGER_HOST=0.0.0.0"
    with deployment.having(published):
        with pytest.raises(AssertionError, match="AGENTDOCK_MANAGER_API_KEYS=me:agent:"):
            deployment.run("make", "up", timeout=600)
        with pytest.raises(httpx.TransportError):
            deployment.client.get("/livez")
    with deployment.having(published, f"AGENTDOCK_MANAGER_API_KEYS=alice:agent:{'k' * 24}"):
        assert "AgentDock is ready at" in deployment.run("make", "up", timeout=600)
        assert deployment.call("echo__echo", text="hello").status_code == 401
        key = {"Authorization": f"Bearer {'k' * 24}"}
        assert deployment.client.get("/v1/tools", headers=key).status_code == 200


def test_where_containers_may_not_read_the_mounts_that_is_said_and_cured(
    deployment: Deployment,
) -> None:
    deployment.run("chmod", "go=", *MOUNTED)
    try:
        deployment.compose("stop", EXPLORE)
        with pytest.raises(AssertionError, match=INIT):
            deployment.up()
        said = deployment.compose("logs", "--no-log-prefix", INIT)
        assert "nodes/profiles and mcp_servers: user 10001" in said
        assert "chmod -R go+rX nodes/profiles mcp_servers" in said
        # On a machine that only has a node, nothing but the node can say so.
        deployment.compose("up", "--detach", "--no-build", "--no-deps", EXPLORE)
        eventually(lambda: "chmod -R go+rX" in deployment.compose("logs", EXPLORE), 10)
        assert "AgentDock is ready at" in deployment.run("make", "up", timeout=600)
    finally:
        deployment.open_mounts()


def test_a_commit_that_changes_no_image_makes_no_container_anew(deployment: Deployment) -> None:
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org"]
    deployment.run("git", "init", "--quiet")
    deployment.run("git", "add", ".")
    deployment.run(*git, "commit", "--quiet", "--message", "one")
    deployment.run("make", "up", timeout=600)
    before = [deployment.containers(service) for service in SERVICES]
    with (deployment.folder / "README.md").open("a") as file:
        file.write("\nA word more.\n")
    deployment.run(*git, "commit", "--quiet", "--all", "--message", "two")
    deployment.run("make", "up", timeout=600)
    assert [deployment.containers(service) for service in SERVICES] == before
