"""What a user does to running containers, and what happens to them, while calls go on."""

from __future__ import annotations

import time

import pytest

from tests.compose.deployment import EXPLORE, FULL, MANAGER, MONGODB, Deployment, eventually
from tests.compose.load import Load

RECOVERY_S = 10
FOUND_GONE = {"node_lost", "no_node", "server_crashed", "call_timed_out"}
"""How a call may end whose node is killed: the platform's own failure, never a tool's answer."""

UNREACHABLE = {"ConnectError", "ReadError", "RemoteProtocolError"}
"""How a call may end whose manager is killed."""


@pytest.fixture
def registered(deployment: Deployment) -> str:
    """A tool server that was registered over the API, for the nodes of the profile explore."""
    entry = {"command": "python", "args": ["mcp_servers/echo.py"]}
    body = {"profile": "explore", "entry": entry}
    key = deployment.admin()

    def is_taken() -> bool:
        return deployment.client.put("/v1/servers/kept", json=body, headers=key).is_success

    eventually(is_taken, 2 * RECOVERY_S)
    return "kept__echo"


def serves(deployment: Deployment, tool: str) -> bool:
    return deployment.call(tool, text="hello").status_code == 200


def test_explore_scales_to_four_and_back_and_no_call_fails(deployment: Deployment) -> None:
    with Load(deployment) as load:
        load.wait_for(200)
        deployment.up("--scale", f"{EXPLORE}=4", "--no-recreate")
        eventually(lambda: deployment.ready_nodes() == 5, RECOVERY_S)
        load.wait_for(500)
        four = deployment.containers(EXPLORE)
        hosts = {deployment.inspect(it, "{{.Config.Hostname}}") for it in four}
        assert {f"explore-{host}" for host in hosts} < set(deployment.nodes())
        deployment.up("--scale", f"{EXPLORE}=1", "--no-recreate")
        eventually(lambda: deployment.ready_nodes() == 2, RECOVERY_S)
        load.wait_for(200)
    assert load.failures == {}
    assert len(four) == 4


def test_a_restart_of_a_node_keeps_its_id_and_fails_no_call(deployment: Deployment) -> None:
    before = set(deployment.nodes())
    with Load(deployment) as load:
        load.wait_for(100)
        deployment.compose("restart", EXPLORE)
        eventually(lambda: deployment.ready_nodes() == 2, RECOVERY_S)
        load.wait_for(100)
    assert load.failures == {}
    assert set(deployment.nodes()) == before


@pytest.mark.parametrize("service", [FULL, EXPLORE, MANAGER, MONGODB])
def test_a_killed_container_is_back_within_ten_seconds(
    deployment: Deployment, registered: str, service: str
) -> None:
    [container] = deployment.containers(service)
    started = deployment.inspect(container, "{{.State.StartedAt}}")
    with Load(deployment) as load:
        load.wait_for(100)
        killed = time.monotonic()
        deployment.kill(container)
        eventually(
            lambda: deployment.inspect(container, "{{.State.StartedAt}}") != started, RECOVERY_S
        )
        eventually(lambda: deployment.ready_nodes() == 2, RECOVERY_S)
        eventually(lambda: serves(deployment, registered), RECOVERY_S)
        eventually(lambda: deployment.client.get("/readyz").json()["store"] == "ok", RECOVERY_S)
        recovered = time.monotonic() - killed
        load.wait_for(200)
    print(f"{service}: whole again after {recovered:.1f} s; {dict(load.outcomes)}")
    assert recovered <= RECOVERY_S
    assert load.last_failure - killed <= RECOVERY_S
    allowed = {MANAGER: UNREACHABLE | FOUND_GONE, MONGODB: set()}.get(service, FOUND_GONE)
    assert set(load.failures) <= allowed


def test_a_restart_of_everything_keeps_nodes_and_registrations(
    deployment: Deployment, registered: str
) -> None:
    before = set(deployment.nodes())
    deployment.compose("restart")
    eventually(lambda: deployment.ready_nodes() == 2, 30)
    eventually(lambda: serves(deployment, registered), RECOVERY_S)
    assert set(deployment.nodes()) == before


def test_down_keeps_registry_files_and_keys(deployment: Deployment, registered: str) -> None:
    key = deployment.admin()
    [node] = deployment.containers(FULL)
    deployment.inside(node, "mkdir -p /data/files && echo kept > /data/files/of-a-test")
    deployment.compose("down")
    assert all(left.startswith("volume ") for left in deployment.left())
    deployment.up()
    assert set(deployment.nodes().values()) == {"ready"}, "those that were removed are not missed"
    eventually(lambda: serves(deployment, registered), RECOVERY_S)
    assert deployment.admin() == key
    [node] = deployment.containers(FULL)
    assert deployment.inside(node, "cat /data/files/of-a-test").strip() == "kept"


def test_a_registration_outlives_the_end_of_all_that_remember_it(deployment: Deployment) -> None:
    """The database is killed right after the answer; then manager and nodes forget."""
    entry = {"command": "python", "args": ["mcp_servers/echo.py"]}
    place, headers = "/v1/servers/lasting", deployment.admin()
    body = {"profile": "explore", "entry": entry}
    assert deployment.client.put(place, json=body, headers=headers).is_success
    [database] = deployment.containers(MONGODB)
    deployment.kill(database)
    deployment.compose("stop", MANAGER, EXPLORE, FULL)
    deployment.up()
    try:
        eventually(lambda: serves(deployment, "lasting__echo"), RECOVERY_S)
    finally:
        deployment.client.delete(place, headers=headers)
    eventually(lambda: not serves(deployment, "lasting__echo"), RECOVERY_S)
