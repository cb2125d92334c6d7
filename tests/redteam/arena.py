"""A whole platform with canaries around it and a neighbour in it, for all attacks of a run."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests import leaks
from tests.platform.running import ROOT, RunningPlatform, eventually
from tests.redteam.agent import ADMIN, ALICE, MALLORY, Agent
from tests.redteam.attack import Attack
from tests.redteam.canaries import Canaries, planted
from tests.redteam.scene import Scene, processes_with, until

KEYS = f"mallory:agent:{MALLORY},alice:agent:{ALICE},ops:admin:{ADMIN}"
NODE = "one"
Entry = dict[str, Any]
"""A tool server, as a profile describes it."""


class Arena:
    """Where attacks are carried out.

    Args:
        running: The platform, with the sandbox under attack.
        canaries: What is planted.
    """

    def __init__(self, running: RunningPlatform, canaries: Canaries) -> None:
        self.running = running
        self.canaries = canaries
        # What is open to anybody; a client without the admin's key.
        self.client = httpx.AsyncClient(base_url=running.url, timeout=90)
        self.neighbour = Agent(self.client, ALICE, "neighbour")
        self._neighbours_sandbox = ""
        self._neighbours_job = ""

    @property
    def facts(self) -> dict[str, str | int]:
        """What an attacker is told: places, never secrets."""
        folder = self.running.folder
        return {
            **self.canaries.facts,
            "MANAGER_PORT": self.running.port,
            "NODE_PORT": self.running.ports[NODE],
            "NODE_PID": self.running.processes[NODE].pid,
            "HOST_ADDRESS": _address(),
            "PLATFORM_FOLDER": str(folder),
            "PROFILE": str(folder / f"{NODE}.toml"),
            "DATABASE": str(folder / "manager" / "agentdock.db"),
            "NEIGHBOUR_ID": self._neighbours_sandbox,
            "NEIGHBOUR_JOB": self._neighbours_job,
            "HOST_PID_NS": os.readlink("/proc/self/ns/pid"),
        }

    def agent(self, session: str | None, key: str = MALLORY) -> Agent:
        """Return an agent with a Session, of the attacker unless another key is given."""
        return Agent(self.client, key, session)

    async def carry_out(self, attack: Attack) -> str | None:
        """Carry out one attack and return the evidence of a breach, or None.

        Raises:
            NotRun: it was not really tried.
        """
        self.canaries.mend()
        await self.check_neighbour()
        scene = Scene(self)
        try:
            return await attack.run(scene) or scene.crash()
        finally:
            await scene.end()
            # What a breach left behind would burden whoever comes next.
            for pid in processes_with(scene.token):
                leaks.kill(pid)

    async def check_neighbour(self) -> None:
        """Have the neighbour at home, with its canaries, before an attack begins."""
        if not await self.neighbour_is_well():
            assert await until(self._settle_neighbour, 30, 0.2), "the neighbour cannot settle"

    async def neighbour_is_well(self) -> bool:
        """Return whether the neighbour's sandbox has its variable and its file."""
        if not self._neighbours_sandbox:
            return False
        code = "open('neighbour.txt').read() + treasure"
        reply = await self.neighbour.python(self._neighbours_sandbox, code)
        values = self.canaries.values
        return values["neighbour_file"] + values["neighbour_variable"] in reply.raw

    async def _settle_neighbour(self) -> bool:
        values = self.canaries.values
        reply = await self.neighbour.call("create_sandbox", {})
        if reply.is_error:
            return False
        sandbox = reply.text.split("sandbox_id: ")[1].split()[0]
        code = (
            f"treasure = {values['neighbour_variable']!r}\n"
            f"open('neighbour.txt', 'w').write({values['neighbour_file']!r})\n"
            f"open('local.txt', 'w').write({values['neighbour_local']!r})\n"
        )
        await self.neighbour.python(sandbox, code)
        job = f"echo {values['neighbour_output']}; sleep 3000"
        started = await self.neighbour.command(sandbox, job, background=True)
        await self.neighbour.download(sandbox, "local.txt", "local.txt")
        self._neighbours_sandbox = sandbox
        self._neighbours_job = str(started.fields.get("command_id", ""))
        return await self.neighbour_is_well()


@asynccontextmanager
async def arena(folder: Path, entry: Entry) -> AsyncIterator[Arena]:
    """Run a platform whose only node has the sandbox that `entry` describes."""
    with tempfile.TemporaryDirectory(prefix="redteam-") as place, planted(Path(place)) as canaries:
        values = canaries.values
        (folder / ".netrc").write_text(values["home"])
        running = RunningPlatform(
            folder, AGENTDOCK_MANAGER_API_KEYS=KEYS, SERPER_API_KEY=values["node_key"]
        )
        running.client.headers["X-API-Key"] = ADMIN
        try:
            running.start_manager()
            await eventually(lambda: _alive(running), 20)
            running.start_node(NODE, profile(entry, canaries))
            await running.ready(NODE)
            arena = Arena(running, canaries)
            # A record with a canary, for whoever reads the database.
            await arena.agent(values["session"]).call("list_sandboxes", {})
            await arena.check_neighbour()
            yield arena
            await arena.client.aclose()
        finally:
            await running.stop()


def profile(entry: Entry, canaries: Canaries) -> str:
    """Return a profile with the sandbox and another tool server, each with a key of its own."""
    other = str(ROOT / "tests" / "fakes" / "scripted_server.py")
    env = {**entry.get("env", {}), "PLANTED_KEY": canaries.values["server_key"]}
    others_env = {"OTHER_KEY": canaries.values["other_key"]}
    servers: dict[str, Entry] = {
        "sandbox": {**entry, "env": env},
        "other": {"command": "python", "args": [other], "env": others_env},
    }
    return "".join(_tables(f"mcpServers.{name}", table) for name, table in servers.items())


def _tables(name: str, table: Entry) -> str:
    """Return a table, and those in it, as TOML, whose values are written as in JSON."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    plain = [f"{k} = {json.dumps(v)}\n" for k, v in table.items() if k not in inner]
    return (
        f"[{name}]\n"
        + "".join(plain)
        + "".join(_tables(f"{name}.{key}", value) for key, value in inner.items())
    )


async def _alive(running: RunningPlatform) -> bool:
    return (await running.client.get("/livez")).status_code == 200


def _address() -> str:
    """Return an address of this machine that is not loopback; loopback if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: the kernel only chooses the address it would send from.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
