"""What callers see when nodes die, hang and come back, with real processes throughout."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.platform.running import RunningPlatform, eventually, platform
from tests.platform.tools import profile

pytestmark = pytest.mark.slow


def runs_of(file: Path) -> Counter[str]:
    """Return how often each call's side effect happened."""
    return Counter(file.read_text().split()) if file.exists() else Counter()


async def timed(call: asyncio.Future[httpx.Response] | asyncio.Task[httpx.Response]) -> float:
    """Return the seconds until a call was answered, from now."""
    started = time.monotonic()
    await call
    return time.monotonic() - started


async def test_calls_on_a_killed_node_run_at_most_once_and_are_answered_within_5_s(
    tmp_path: Path,
) -> None:
    file = tmp_path / "effects"
    tools = profile()
    async with platform(tmp_path, {"one": tools, "two": tools}) as running:
        calls = [
            asyncio.create_task(running.call("mark", file=str(file), token=f"t{n}", seconds=2))
            for n in range(50)
        ]
        await eventually(lambda: _all_started(file, 50), 10)
        running.kill("one")
        waits = await asyncio.gather(*(timed(call) for call in calls))
        answers = [call.result() for call in calls]
    assert max(waits) < 5
    runs = runs_of(file)
    assert len(runs) == 50
    assert set(runs.values()) == {1}
    failed = [answer.json() for answer in answers if answer.status_code != 200]
    assert failed, "no call was on the node that was killed"
    assert {problem["code"] for problem in failed} == {"node_lost"}
    assert all(not answer.json()["is_error"] for answer in answers if answer.status_code == 200)


async def _all_started(file: Path, count: int) -> bool:
    return len(runs_of(file)) == count


async def test_calls_of_an_idempotent_tool_survive_a_killed_node(tmp_path: Path) -> None:
    file = tmp_path / "effects"
    tools = profile(idempotent=["mark"])
    async with platform(tmp_path, {"one": tools, "two": tools}) as running:
        calls = [
            asyncio.create_task(running.call("mark", file=str(file), token=f"t{n}", seconds=1))
            for n in range(20)
        ]
        await eventually(lambda: _all_started(file, 20), 10)
        running.kill("one")
        answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}
    assert max(runs_of(file).values()) == 2


async def test_a_node_that_hangs_is_lost_within_5_s_and_rejoins_when_it_wakes(
    tmp_path: Path,
) -> None:
    tools = profile()
    async with platform(tmp_path, {"one": tools, "two": tools}) as running:
        running.kill("one", signal.SIGSTOP)
        await eventually(lambda: _is(running, "one", "lost"), 5)
        for _ in range(20):
            assert (await running.call("echo", text="hi")).json()["node"] == "two"
        running.kill("one", signal.SIGCONT)
        await running.ready("one")
        await eventually(lambda: _answers_from(running, {"one", "two"}), 5)


async def test_a_call_given_up_on_a_hung_node_is_not_run_when_it_wakes(tmp_path: Path) -> None:
    file = tmp_path / "effects"
    async with platform(tmp_path, {"one": profile()}) as running:
        running.kill("one", signal.SIGSTOP)
        answer = await running.call("mark", file=str(file), token="late", seconds=0)
        running.kill("one", signal.SIGCONT)
        await running.ready("one")
        again = await running.call("mark", file=str(file), token="second", seconds=0)
    assert (answer.status_code, answer.json()["code"]) == (502, "node_lost")
    assert again.status_code == 200
    assert runs_of(file) == {"second": 1}


async def test_a_node_rejoins_a_manager_that_was_killed_and_started_again(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        pid = (await running.servers("one"))["tools"]["pid"]
        running.kill("manager")
        running.processes["manager"].wait()
        running.start_manager()
        await running.ready("one")
        assert (await running.call("echo", text="hi")).status_code == 200
        assert (await running.servers("one"))["tools"]["pid"] == pid


async def test_two_nodes_share_the_calls_of_a_tool(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile(), "two": profile()}) as running:
        answers = await asyncio.gather(*(running.call("echo", text="x") for _ in range(200)))
        metrics = (await running.client.get("/metrics")).text
    share = Counter(answer.json()["node"] for answer in answers)
    assert set(share) == {"one", "two"}
    assert min(share.values()) > 40
    counted = re.findall(r"duration_seconds_count\{.*node=\"(one|two)\".* (\d+)\.0", metrics)
    assert {node: int(count) for node, count in counted} == share


async def test_a_call_that_outlasts_its_deadline_is_told_to_stop(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        body = {"arguments": {"seconds": 30}, "timeout_s": 1}
        started = time.monotonic()
        answer = await running.client.post("/v1/tools/sleep/call", json=body)
        took = time.monotonic() - started
        dock = await running.client.post(
            "/mcpapi/tool/tools.sleep", json={"seconds": 30}, headers={"X-Timeout-Seconds": "1"}
        )
        # The node gives up inside the manager's time and tells the tool server to stop.
        await eventually(lambda: _idle(running, "one"), 5)
    assert (answer.status_code, answer.json()["code"]) == (504, "call_timed_out")
    assert took < 2
    assert (dock.status_code, dock.json()["content"]["code"]) == (504, "call_timed_out")


async def test_a_caller_that_hangs_up_frees_the_tool_server(tmp_path: Path) -> None:
    async with platform(tmp_path, {"one": profile()}) as running:
        with pytest.raises(httpx.ReadTimeout):
            await running.client.post(
                "/v1/tools/sleep/call", json={"arguments": {"seconds": 30}}, timeout=1
            )
        await eventually(lambda: _idle(running, "one"), 5)


async def test_the_manager_serves_health_and_explains_itself_without_a_node(
    tmp_path: Path,
) -> None:
    async with platform(tmp_path, {}) as running:
        ready = await running.client.get("/readyz")
        health = await running.client.get("/health")
        answer = await running.call("run_python_code", code_block="1")
    assert (ready.status_code, health.status_code) == (503, 200)
    assert "node" in ready.text
    assert answer.status_code == 404


async def _is(running: RunningPlatform, node_id: str, state: str) -> bool:
    return bool((await running.nodes())[node_id]["state"] == state)


async def _answers_from(running: RunningPlatform, expected: set[str]) -> bool:
    answers = [await running.call("echo", text="x") for _ in range(20)]
    return {answer.json().get("node") for answer in answers} == expected


async def _idle(running: RunningPlatform, node_id: str) -> bool:
    return bool((await running.servers(node_id))["tools"]["in_flight"] == 0)
