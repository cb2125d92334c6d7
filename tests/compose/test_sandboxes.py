"""Sandboxes inside node containers: how confined they are, and what they outlive."""

from __future__ import annotations

import re

import pytest

from tests.compose.deployment import EXPLORE, FULL, Deployment, eventually

PROMISED = {"files", "processes", "secrets", "network", "kernel"}
TRIES = 40
WEAKER = "weaker than namespaces"


def opened(deployment: Deployment, service: str) -> str:
    """Open a sandbox on a node of that service and return its id."""
    for _ in range(TRIES):
        told = deployment.call("create_sandbox")
        assert told.status_code == 200, told.text
        answer = told.json()
        if answer["node"].startswith(service.removeprefix("agentdock-node-")):
            fields = answer["structured_content"]
            assert fields["level"] == "namespaces"
            assert set(fields["promises"]) >= PROMISED
            return str(fields["sandbox_id"])
    raise AssertionError(f"none of {TRIES} sandboxes was opened on {service}")


def run(deployment: Deployment, sandbox: str, command: str) -> str:
    answer = deployment.call("run_command", command=command, sandbox_id=sandbox)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["structured_content"]["stdout"])


@pytest.mark.parametrize("service", [FULL, EXPLORE])
def test_code_sees_neither_network_nor_secret_nor_process_of_its_node(
    deployment: Deployment, service: str
) -> None:
    sandbox = opened(deployment, service)
    seen = run(deployment, sandbox, "cat /proc/net/dev | tail -n +3 | cut -d: -f1")
    assert seen.split() == ["lo"]
    assert run(deployment, sandbox, "ls -A /run/agentdock /data /app/nodes 2>/dev/null") == ""
    assert "python -m nodes" not in run(
        deployment, sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    )
    connect = "timeout 3 bash -c 'exec 3<>/dev/tcp/{}/8080' && echo connected; true"
    for host in ("agentdock-manager", "172.17.0.1", "192.0.2.1"):
        assert run(deployment, sandbox, connect.format(host)) == ""


@pytest.mark.parametrize("service", [FULL, EXPLORE])
def test_a_sandbox_outlives_a_restart_of_its_node(deployment: Deployment, service: str) -> None:
    sandbox = opened(deployment, service)
    run(deployment, sandbox, "echo kept > note")
    deployment.compose("restart", service)

    def runs() -> bool:
        answer = deployment.call("run_command", command="true", sandbox_id=sandbox)
        assert answer.status_code in (200, 503), "nobody may be told to give it up"
        return answer.status_code == 200

    eventually(runs, 30)
    assert run(deployment, sandbox, "cat note") == "kept\n"


def test_a_sandbox_of_a_container_made_anew_is_lost_and_that_is_said(
    deployment: Deployment,
) -> None:
    sandbox = opened(deployment, EXPLORE)

    def said() -> tuple[int, str]:
        answer = deployment.call("run_command", command="true", sandbox_id=sandbox)
        return answer.status_code, answer.json()["code"]

    deployment.up("--force-recreate", "--no-deps", EXPLORE)
    eventually(lambda: deployment.ready_nodes() == 2, 20)
    assert said() in ((503, "no_node"), (410, "sandbox_lost")), "until then it may be restarted"
    eventually(lambda: said() == (410, "sandbox_lost"), 40)


def test_each_sandbox_id_names_its_node_and_can_be_signed_by_no_other(
    deployment: Deployment,
) -> None:
    sandbox = opened(deployment, EXPLORE)
    assert any(sandbox.startswith(f"{node}.") for node in deployment.nodes())
    forged = re.sub(r"^([^.]+)\.[^.]+", r"\1.0000000000000000", sandbox)
    answer = deployment.call("run_command", command="true", sandbox_id=forged)
    assert answer.status_code == 200
    assert "Failed to connect to sandbox" in answer.text


def test_where_the_engines_own_profile_is_left_that_is_said_in_the_log_and_in_the_summary(
    deployment: Deployment,
) -> None:
    hardened = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--init"]
    secret = ["--env", f"AGENTDOCK_SECRET={'s' * 32}", "--volume", "/data"]
    image = f"{EXPLORE}:{deployment.project}"
    node = deployment.run("docker", "run", "--detach", *hardened, *secret, image).strip()
    try:
        eventually(lambda: WEAKER in deployment.run("docker", "logs", node, check=False), 30)
        said = deployment.run("docker", "logs", node, check=False)
        assert re.search(rf"WARNING +node \S+ tool server sandbox: {WEAKER}", said)
    finally:
        deployment.run("docker", "rm", "--force", "--volumes", node)
    health = deployment.client.get("/health").text
    assert "namespaces" in health
    assert WEAKER not in health
