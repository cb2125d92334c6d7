"""Plugging tools into running containers: a file, a package of PyPI, a service with an image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.compose.deployment import EXPLORE, ROOT, Deployment, eventually

SOON_S = 10
FETCHED_S = 180
"""A package that is fetched at first needs the network's time."""

OVERRIDE = """
services:
  weather:
    image: agentdock-node-explore:${IMAGE_TAG}
    command: ["python", "mcp_servers/weather.py"]
    healthcheck: {disable: true}
    cap_drop: [ALL]
    networks: [mesh]
    volumes: ["./mcp_servers:/app/mcp_servers:ro"]
"""
WEATHER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("weather")

@server.tool()
def forecast(place: str) -> str:
    return f"Rain in {place}."

server.run("streamable-http", host="0.0.0.0", port=8000)
"""


def of_readme(language: str) -> str:
    """Return the README's code block of that language, without its indentation."""
    text = (ROOT / "README.md").read_text()
    [found] = re.findall(rf"```{language}\n(.*?)\s*```", text, re.DOTALL)
    return "".join(line.removeprefix("   ") for line in found.splitlines(keepends=True))


@contextmanager
def plugged(deployment: Deployment, entry: str) -> Iterator[None]:
    """Have an entry in the profile explore while the context is open."""
    profile = deployment.profile("explore")
    before = profile.read_text()
    profile.write_text(f"{before}\n{entry}\n")
    try:
        yield
    finally:
        profile.write_text(before)


def works(deployment: Deployment, tool: str, **arguments: object) -> bool:
    answer = deployment.call(tool, **arguments)
    return answer.status_code == 200 and not answer.json()["is_error"]


def test_the_three_steps_of_the_readme_work_while_everything_runs(deployment: Deployment) -> None:
    [node] = deployment.containers(EXPLORE)
    started = deployment.inspect(node, "{{.State.StartedAt}}")
    (deployment.folder / "mcp_servers" / "dice.py").write_text(of_readme("python"))
    with plugged(deployment, of_readme("toml")):
        eventually(lambda: works(deployment, "throw", count=3), SOON_S)
        assert deployment.inspect(node, "{{.State.StartedAt}}") == started
        deployment.compose("restart", EXPLORE)
        eventually(lambda: works(deployment, "throw", count=3), 20)
    eventually(lambda: deployment.call("throw", count=3).status_code == 404, SOON_S)


def test_a_server_written_for_mcp_1_runs_by_uvx(deployment: Deployment) -> None:
    old = (ROOT / "tests" / "fakes" / "mcp1_server.py").read_text()
    (deployment.folder / "mcp_servers" / "old.py").write_text(old)
    entry = """
[mcpServers.old]
command = "uvx"
args = ["--with", "mcp<2", "python", "mcp_servers/old.py"]
"""
    with plugged(deployment, entry):
        eventually(lambda: works(deployment, "greet", name="Ada"), FETCHED_S)


def test_a_server_with_an_image_of_its_own_is_plugged_in_by_its_url(
    deployment: Deployment,
) -> None:
    override = deployment.folder / "compose.override.yaml"
    override.write_text(OVERRIDE)
    (deployment.folder / "mcp_servers" / "weather.py").write_text(WEATHER)
    try:
        deployment.compose("up", "--detach", "--no-build", "weather")
        with plugged(deployment, '[mcpServers.weather]\nurl = "http://weather:8000/mcp"'):
            eventually(lambda: works(deployment, "forecast", place="Kiel"), 30)
    finally:
        deployment.compose("rm", "--stop", "--force", "weather")
        override.unlink()
