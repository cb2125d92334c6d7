"""The platform in containers for a test: a copy of the project, with a name and port of its own."""

from __future__ import annotations

import copy
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.parts import lack, need
from tests.ports import free_ports

ROOT = Path(__file__).parents[2]
INIT, MANAGER, MONGODB = "agentdock-init", "agentdock-manager", "agentdock-mongodb"
FULL, EXPLORE = "agentdock-node-full", "agentdock-node-explore"
NODES = (FULL, EXPLORE)
SERVICES = (MANAGER, MONGODB, FULL, EXPLORE)
IMAGES = (INIT, MANAGER, FULL, EXPLORE)

INDEX = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
"""Where images get Python packages; it is in none of them."""

MOUNTED = ("nodes/profiles", "mcp_servers")

CHOICES = ("BASE_IMAGE", "MONGO_IMAGE")
"""Variables that would come before the project's `.env`."""

ECHO = '''
"""Answers at once, so that what is measured is the platform."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("echo")

@server.tool()
def echo(text: str) -> str:
    """Say it again."""
    return text

server.run()
'''
ECHO_ENTRY = '\n[mcpServers.echo]\ncommand = "python"\nargs = ["mcp_servers/echo.py"]\n'


class Deployment:
    """A copy of the project, and the compose project that is made of it.

    Args:
        folder: Takes the copy.
    """

    def __init__(self, folder: Path) -> None:
        need("docker", "install an engine (docs/deploy.md)")
        if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
            lack("no container engine answers: start one")
        self.folder = folder
        self.project = f"agentdock-test-{secrets.token_hex(4)}"
        self.port = free_ports(1)[0]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        self._environ = {
            **{name: value for name, value in os.environ.items() if name not in CHOICES},
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_BAKE": "false",
            "PIP_INDEX_URL": INDEX,
            "IMAGE_TAG": self.project,
            "AGENTDOCK_MANAGER_PORT": str(self.port),
        }

    def copy_project(self) -> None:
        """Copy what git knows, or would, as a clone under a strict umask; plug `echo` into it."""
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).exists():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        (self.folder / "mcp_servers" / "echo.py").write_text(ECHO)
        for profile in ("full", "explore"):
            with self.profile(profile).open("a") as file:
                file.write(ECHO_ENTRY)
        self.run("chmod", "-R", "go=", ".")
        self.open_mounts()

    def open_mounts(self) -> None:
        """Let containers read what is mounted, as docs/deploy.md says."""
        self.run("chmod", "-R", "go+rX", *MOUNTED)

    def profile(self, name: str) -> Path:
        """Return the file of a profile, which is mounted in the nodes."""
        return self.folder / "nodes" / "profiles" / f"{name}.toml"

    @contextmanager
    def having(self, *lines: str, file: str = ".env") -> Iterator[None]:
        """Have further lines in a file of settings while the context is open."""
        path = self.folder / file
        before = path.read_text() if path.exists() else None
        path.write_text("\n".join([before or "", *lines, ""]))
        try:
            yield
        finally:
            if before is None:
                path.unlink()
            else:
                path.write_text(before)

    def beside(self) -> Deployment:
        """Return another deployment of the same copy and images, which shares nothing else."""
        other = copy.copy(self)
        other.project = f"{self.project}-beside"
        other._environ = {**self._environ, "COMPOSE_PROJECT_NAME": other.project}
        return other

    def run(self, *command: str, timeout: float = 120, check: bool = True) -> str:
        """Run a command in the copy and return what it printed, stderr included if it fails."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environ,
            timeout=timeout,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout if check else f"{done.stdout}{done.stderr}"

    def compose(self, *arguments: str, timeout: float = 180) -> str:
        """Run `docker compose` on this project."""
        return self.run("docker", "compose", *arguments, timeout=timeout)

    def up(self, *arguments: str) -> None:
        """Start what does not run, and wait until all is healthy."""
        self.compose("up", "--detach", "--no-build", "--wait", *arguments)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's running containers."""
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, container: str, form: str) -> str:
        """Return what `docker inspect` says of a container, in a Go template's form."""
        return self.run("docker", "inspect", "--format", form, container).strip()

    def inside(self, container: str, command: str) -> str:
        """Run a line of bash in a container; return what it printed, errors included."""
        return self.run("docker", "exec", container, "bash", "-c", command, check=False)

    def kill(self, container: str) -> None:
        """Kill a container's first process from the machine, as the kernel does in need."""
        os.kill(int(self.inspect(container, "{{.State.Pid}}")), signal.SIGKILL)

    def call(self, tool: str, **arguments: object) -> httpx.Response:
        """Call a tool without a key."""
        return self.client.post(f"/v1/tools/{tool}/call", json={"arguments": arguments})

    def admin(self) -> dict[str, str]:
        """Return the header that makes a request the administrator's."""
        return {"Authorization": f"Bearer {self.run('make', '--silent', 'key').strip()}"}

    def nodes(self) -> dict[str, str]:
        """Return the state of each node by its id."""
        states: dict[str, str] = self.client.get("/readyz").json()["nodes"]
        return states

    def ready_nodes(self) -> int:
        """Return how many nodes take calls."""
        return list(self.nodes().values()).count("ready")

    def gateway(self, network: str) -> str:
        """Return the address by which containers of a network reach this machine."""
        form = "{{(index .IPAM.Config 0).Gateway}}"
        return self.run("docker", "network", "inspect", "--format", form, network).strip()

    def left(self) -> list[str]:
        """Return every container, network and volume of the project."""
        ours = ["--quiet", "--filter", f"label=com.docker.compose.project={self.project}"]
        return [
            f"{kind} {found}"
            for kind, how in (("container", ["--all"]), ("network", []), ("volume", []))
            for found in self.run("docker", kind, "ls", *how, *ours).split()
        ]


def eventually(condition: Callable[[], bool], seconds: float) -> float:
    """Return after how many seconds `condition` came true; a service away counts as false.

    Raises:
        AssertionError: it did not come true within `seconds`.
    """
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        try:
            if condition():
                return passed
        except (httpx.TransportError, KeyError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s")
