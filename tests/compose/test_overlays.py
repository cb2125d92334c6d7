"""The further Compose files: a look inside, TLS by a proxy, a node on another machine."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from tests.compose.deployment import (
    EXPLORE,
    FULL,
    MANAGER,
    MONGODB,
    Deployment,
    eventually,
)
from tests.ports import free_ports

BASE_FILE = ("--file", "docker-compose.yml", "--file")
DEBUG = (*BASE_FILE, "compose.debug.yaml")
TLS = (*BASE_FILE, "deploy/compose.tls.yaml")
REMOTE = (*BASE_FILE, "deploy/compose.remote-node.yaml")
UP = ("up", "--detach", "--no-build", "--wait")
PUBLISHED = {FULL: "8004", EXPLORE: "8014", MONGODB: "27017"}
PROXY = "agentdock-proxy"
AGENT_KEY, ADMIN_KEY = "a" * 24, "b" * 24
KEYS = f"AGENTDOCK_MANAGER_API_KEYS=alice:agent:{AGENT_KEY},root:admin:{ADMIN_KEY}"
AGENT = {"Authorization": f"Bearer {AGENT_KEY}"}
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
CADDY = """
FROM {base}
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends caddy
"""


@pytest.fixture
def opened(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment with what compose.debug.yaml adds."""
    deployment.compose(*DEBUG, *UP)
    yield deployment
    deployment.up()
    deployment.run("docker", "network", "rm", f"{deployment.project}_debug")
    for port in PUBLISHED.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), 5)


def test_a_look_inside_is_open_on_loopback_only(opened: Deployment) -> None:
    [manager] = opened.containers(MANAGER)
    secret = opened.inside(manager, "cat /run/agentdock/shared/secret").strip()
    headers = {"Authorization": f"Bearer {secret}"}
    for service, port in PUBLISHED.items():
        [container] = opened.containers(service)
        bindings = json.loads(opened.inspect(container, "{{json .HostConfig.PortBindings}}"))
        assert bindings == {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}
        socket.create_connection(("127.0.0.1", int(port)), 5).close()

    def lists_tools(url: str) -> bool:
        return "echo" in httpx.get(url, headers=headers).text

    for service in (FULL, EXPLORE):
        url = f"http://127.0.0.1:{PUBLISHED[service]}/v1/tools"
        assert httpx.get(url).status_code == 401
        eventually(partial(lists_tools, url), 20)


@pytest.fixture
def caddy(deployment: Deployment) -> Iterator[str]:
    """The name of an image with Debian's Caddy, which is gone in the end."""
    settings = (deployment.folder / ".env").read_text()
    base = next(line[11:] for line in settings.splitlines() if line.startswith("BASE_IMAGE="))
    folder = deployment.folder / "build" / "caddy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(CADDY.format(base=base))
    name = f"agentdock-caddy:{deployment.project}"
    deployment.run("docker", "build", "--quiet", "--tag", name, str(folder), timeout=300)
    yield name
    deployment.compose(*TLS, "rm", "--stop", "--force", PROXY)
    deployment.run("docker", "volume", "rm", f"{deployment.project}_proxy")
    deployment.run("docker", "image", "rm", "--force", name)


def test_callers_elsewhere_come_by_tls_and_with_keys(deployment: Deployment, caddy: str) -> None:
    [port] = free_ports(1)
    own = [f"CADDY_IMAGE={caddy}", f"TLS_PORT={port}"]
    with (
        deployment.having(*own),
        pytest.raises(AssertionError, match="agentdock-init"),
    ):
        deployment.compose(*TLS, *UP)
    with deployment.having(*own, KEYS):
        deployment.compose(*TLS, "up", "--detach", "--no-build")
        [proxy] = deployment.containers(PROXY)
        authority = "cat /data/caddy/pki/authorities/local/root.crt"

        def is_made() -> bool:
            return "BEGIN CERTIFICATE" in deployment.inside(proxy, authority)

        eventually(is_made, 30)
        trust = ssl.create_default_context(cadata=deployment.inside(proxy, authority))
        with httpx.Client(base_url=f"https://localhost:{port}", verify=trust, timeout=30) as client:
            eventually(lambda: client.get("/readyz").status_code == 200, 60)
            body = {"arguments": {"text": "hello"}}
            place = "/v1/tools/echo__echo/call"
            assert client.post(place, json=body).status_code == 401
            answer = client.post(place, json=body, headers=AGENT)
            assert "hello" in answer.text
            assert "Caddy" in answer.headers.get_list("server")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"https://localhost:{port}/livez")
        status = deployment.inside(proxy, "cat /proc/1/status")
        assert "CapEff:\t0000000000000400" in status
    deployment.up()


def test_a_node_of_another_machine_joins_and_comes_back(deployment: Deployment) -> None:
    here = deployment.gateway(f"{deployment.project}_internet")
    other = deployment.beside()
    with deployment.having(f"AGENTDOCK_MANAGER_HOST={here}", KEYS):
        deployment.up()
        client = httpx.Client(base_url=f"http://{here}:{deployment.port}", timeout=30)
        [manager] = deployment.containers(MANAGER)
        secret = deployment.inside(manager, "cat /run/agentdock/shared/secret").strip()
        joining = [
            f"AGENTDOCK_SECRET={secret}",
            f"AGENTDOCK_NODE_MANAGER_URL=http://{here}:{deployment.port}",
            f"NODE_ADDRESS={here}",
        ]
        try:
            with deployment.having(*joining):
                other.compose(*REMOTE, "up", "--detach", "--no-build", "--no-deps", EXPLORE)
            [far] = other.run(
                *("docker", "ps", "--quiet", "--filter"),
                f"label=com.docker.compose.project={other.project}",
            ).split()
            node = f"explore-{other.inspect(far, '{{.Config.Hostname}}')}"

            def state() -> str:
                return str(client.get("/readyz").json()["nodes"].get(node))

            def answers() -> bool:
                body = {"arguments": {"text": "hello"}}
                answer = client.post("/v1/tools/echo__echo/call", json=body, headers=AGENT)
                return answer.status_code == 200 and answer.json()["node"] == node

            eventually(lambda: state() == "ready", 30)
            eventually(answers, 30)
            deployment.compose("restart", MANAGER)
            eventually(lambda: state() == "ready", 30)
            other.run("docker", "kill", far)
            eventually(lambda: state() != "ready", 30)
            other.run("docker", "start", far)
            eventually(answers, 30)
        finally:
            client.close()
            with deployment.having(*joining):
                other.compose(*REMOTE, "down", "--volumes")
        assert other.left() == []
    deployment.up()
