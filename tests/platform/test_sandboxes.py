"""Sandboxes through the whole platform, as an agent meets them: one manager, two nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import leaks
from tests.platform.running import RunningPlatform, eventually, platform, share_files

pytestmark = pytest.mark.slow

PROFILE = """
[mcpServers.sandbox]
command = "python"
args = ["-m", "mcp_servers.sandbox"]
env = {{ SANDBOX_PRELOAD = "json", SANDBOX_CALL_S = "{call_s}", SANDBOX_CAPACITY = "{capacity}" }}

[mcpServers.sandbox.agentdock]
timeout_s = 630
affinity = "sandbox_id"
files = true
linger_s = 600
"""


def profile(call_s: int = 60, capacity: int = 100) -> str:
    return PROFILE.format(call_s=call_s, capacity=capacity)


class Agent:
    """An agent with a Session of its own."""

    def __init__(self, running: RunningPlatform, session: str = "s1") -> None:
        self.client = running.client
        self.headers = {"X-Session-Id": session}

    async def post(self, tool: str, timeout_s: float | None = None, **arguments: Any) -> Any:
        body: dict[str, Any] = {"arguments": arguments}
        if timeout_s is not None:
            body["timeout_s"] = timeout_s
        return await self.client.post(f"/v1/tools/{tool}/call", json=body, headers=self.headers)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await self.post(tool, **arguments)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def create(self) -> tuple[str, str]:
        """Return a sandbox and its node."""
        made = await self.call("create_sandbox")
        return made["structured_content"]["sandbox_id"], made["node"]

    async def python(self, code: str, sandbox_id: str) -> dict[str, Any]:
        answer = await self.call("run_python_code", code_block=code, sandbox_id=sandbox_id)
        return dict(answer["structured_content"])


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningPlatform]:
    nodes = {"one": profile(), "two": profile()}
    share_files(tmp_path, *nodes)
    async with platform(tmp_path, nodes) as running:
        yield running


async def test_a_handle_finds_its_sandbox_whichever_node_holds_it(running: RunningPlatform) -> None:
    agent = Agent(running)
    boxes = dict([await agent.create() for _ in range(12)])
    assert set(boxes.values()) == {"one", "two"}
    for number, box in enumerate(boxes):
        await agent.python(f"x = {number}", box)
    for number, (box, node) in enumerate(boxes.items()):
        answer = await agent.call("run_python_code", code="x", sandbox_id=box)
        assert (answer["node"], answer["structured_content"]["results"]) == (node, [str(number)])
    listed = await running.client.get("/v1/sandboxes", headers=agent.headers)
    assert {line["sandbox_id"] for line in listed.json()["sandboxes"]} == set(boxes)
    stranger = Agent(running, "s2")
    box = next(iter(boxes))
    refused = await stranger.call("run_python_code", code_block="x", sandbox_id=box)
    assert refused["is_error"]
    route = f"/v1/sandboxes/{box}"
    assert (await running.client.delete(route, headers=stranger.headers)).status_code == 404
    assert (await running.client.delete(route, headers=agent.headers)).status_code == 204
    assert (await agent.call("run_command", command="true", sandbox_id=box))["is_error"]


async def test_the_end_of_a_session_closes_its_sandboxes_and_no_others(
    running: RunningPlatform,
) -> None:
    agent, stranger = Agent(running), Agent(running, "s2")
    boxes = [await agent.create() for _ in range(6)]
    kept, _ = await stranger.create()
    closed = (await running.client.delete("/v1/sessions/s1")).json()
    assert closed["failed"] == {}
    assert sum(closed["sandboxes"].values()) == 6
    for box, node in boxes:
        assert closed["sandboxes"][node] > 0
        assert (await agent.call("run_command", command="true", sandbox_id=box))["is_error"]
    listed = await running.client.get("/v1/sandboxes", headers=agent.headers)
    assert listed.json()["sandboxes"] == []
    assert (await stranger.python("1", kept))["results"] == ["1"]
    again = (await running.client.delete("/v1/sessions/s1")).json()
    assert sum(again["sandboxes"].values()) == 0


@pytest.fixture
async def one_node(tmp_path: Path) -> AsyncIterator[RunningPlatform]:
    """A platform of one node: two would have to share a data folder for their file areas."""
    async with platform(tmp_path, {"one": profile()}) as running:
        yield running


async def test_files_go_in_and_out_over_http_and_by_the_tools(one_node: RunningPlatform) -> None:
    running, agent = one_node, Agent(one_node)
    box, _ = await agent.create()
    put = await running.client.put(
        "/v1/files/in/data.bin", content=b"\0\1" * 5000, headers=agent.headers
    )
    assert put.status_code == 201
    up = await agent.call(
        "upload_file_from_local_to_sandbox", sandbox_id=box, local_file_path="in/data.bin"
    )
    assert up["content"][0]["text"] == "File uploaded to /home/user/data.bin"
    done = await agent.python("open('out.txt', 'w').write(str(len(open('data.bin').read())))", box)
    assert done["error"] is None
    down = await agent.call(
        "download_file_from_sandbox_to_local", sandbox_id=box, sandbox_file_path="out.txt"
    )
    assert down["content"][0]["text"] == "File downloaded successfully to: out.txt"
    for route in ("/v1/files/out.txt", f"/v1/sandboxes/{box}/files/out.txt"):
        assert (await running.client.get(route, headers=agent.headers)).text == "10000"
    others = await running.client.get("/v1/files/out.txt", headers={"X-Session-Id": "s2"})
    assert others.status_code == 404
    direct = await running.client.put(
        f"/v1/sandboxes/{box}/files/from-http", content=b"here", headers=agent.headers
    )
    assert direct.status_code == 201
    assert (await agent.python("open('from-http').read()", box))["results"] == ["'here'"]


async def change_entry(running: RunningPlatform, folder: Path) -> None:
    """Have another process take over from the sandbox server of a platform of one node."""
    (folder / "one.toml").write_text(profile(call_s=50))

    async def is_changed() -> bool:
        lines = [leaks.command(pid) for pid in leaks.descendants()]
        servers = [line for line in lines if line.endswith("-m mcp_servers.sandbox")]
        changing = bool((await running.servers("one"))["sandbox"]["changing"])
        return bool(len(servers) >= 2 and not changing)

    await eventually(is_changed, 20)


async def test_a_changed_entry_leaves_live_sandboxes_to_the_process_that_has_them(
    tmp_path: Path,
) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        agent = Agent(running)
        box, _ = await agent.create()
        await agent.python("x = 41", box)
        await change_entry(running, tmp_path)
        done = await agent.python("x + 1", box)
        assert (done["results"], done["note"]) == (["42"], "")
        new, _ = await agent.create()
        await agent.python("x = 1", new)
        assert (await agent.python("x", box))["results"] == ["41"]
        await agent.call("close_sandbox", sandbox_id=box)
        assert (await agent.python("x", new))["results"] == ["1"]


async def test_the_end_of_a_session_closes_what_a_replaced_process_holds(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        agent, stranger = Agent(running), Agent(running, "s2")
        old, _ = await agent.create()
        kept, _ = await stranger.create()
        await change_entry(running, tmp_path)
        new, _ = await agent.create()
        closed = (await running.client.delete("/v1/sessions/s1")).json()
        assert closed["sandboxes"] == {"one": 2}
        for box in (old, new):
            assert (await agent.call("run_command", command="true", sandbox_id=box))["is_error"]
        assert (await stranger.python("1", kept))["results"] == ["1"]


async def test_files_outlive_a_kill_of_the_node_and_the_reply_says_that_variables_do_not(
    tmp_path: Path,
) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        agent = Agent(running)
        box, _ = await agent.create()
        await agent.python("x = 1\nopen('note', 'w').write('kept')", box)
        running.kill("one")
        running.processes["one"].wait()
        running.start_node("one", profile())

        async def answers() -> bool:
            return bool((await agent.post("list_sandboxes")).status_code == 200)

        await eventually(answers, 20)
        done = await agent.python("open('note').read(), 'x' in globals()", box)
        assert done["results"] == ["('kept', False)"]
        assert "variables of this sandbox are gone" in done["note"]


async def test_a_caller_that_hangs_up_stops_its_code(running: RunningPlatform) -> None:
    agent = Agent(running)
    box, _ = await agent.create()
    line = "import subprocess\nsubprocess.run(['bash', '-c', 'exec -a hung-up-661 sleep 61'])"

    async def is_running() -> bool:
        return any("hung-up-661 61" in leaks.command(pid) for pid in leaks.descendants())

    call = asyncio.create_task(agent.post("run_python_code", code_block=line, sandbox_id=box))
    await eventually(is_running, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    async def is_gone() -> bool:
        return not await is_running()

    await eventually(is_gone, 10)
    assert (await agent.python("6 * 7", box))["results"] == ["42"]


async def test_a_full_node_is_passed_over_and_a_full_platform_says_when_to_ask_again(
    tmp_path: Path,
) -> None:
    nodes = {"one": profile(capacity=1), "two": profile(capacity=1)}
    async with platform(tmp_path, nodes) as running:
        agent = Agent(running)
        made = dict([await agent.create() for _ in range(2)])
        assert set(made.values()) == {"one", "two"}
        full: httpx.Response = await agent.post("create_sandbox")
        assert (full.status_code, full.json()["code"]) == (503, "overloaded")
        assert int(full.headers["retry-after"]) >= 5


async def test_health_shows_how_code_is_isolated_on_each_node(running: RunningPlatform) -> None:
    made = await Agent(running).call("create_sandbox")
    level = {"isolation": made["structured_content"]["level"]}
    health = await running.client.get("/health", headers={"accept": "application/json"})
    assert health.json()["facts"] == {"sandbox": {"one": level, "two": level}}
    nodes = (await running.client.get("/v1/nodes")).json()["nodes"]
    async with httpx.AsyncClient() as client:
        for node in nodes:
            assert (await client.get(f"{node['url']}/health")).json()["facts"] == {"sandbox": level}
