"""The sandbox as a tool server of its own, over stdio, with the official client."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp_types import CallToolResult, RequestParamsMeta, TextContent

from mcp_servers.sandbox import texts
from mcp_servers.sandbox.runner import Runner
from mcp_servers.sandbox.server import create_server, time_limit
from tests import leaks

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def sandbox(tmp: Path, mode: str = "auto") -> AsyncIterator[Client]:
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_servers.sandbox"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp)},
    )
    async with Client(server, mode=mode) as client:
        yield client


def in_process() -> Client:
    """Return a client for a server without a process of its own: a second less."""
    return Client(create_server(Runner()))


async def run(
    client: Client, meta: dict[str, Any] | None = None, **arguments: str
) -> CallToolResult:
    extra = None if meta is None else cast("RequestParamsMeta", meta)
    return await client.call_tool("run_python_code", arguments, meta=extra)


def text(result: CallToolResult) -> str:
    [part] = result.content
    assert isinstance(part, TextContent)
    return part.text


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_both_eras_are_spoken(tmp_path: Path, mode: str) -> None:
    async with sandbox(tmp_path, mode) as client:
        [tool] = (await client.list_tools()).tools
        assert tool.name == "run_python_code"
        assert list(tool.input_schema["properties"]) == ["code_block", "sandbox_id"]
        assert tool.input_schema["required"] == ["code_block"]
        assert "not isolated" in (tool.description or "")
        result = await run(client, code_block="print(6 * 7)")
    assert not result.is_error
    assert text(result).startswith("Execution(Results: [], Logs: Logs(stdout: ['42\\n']")
    assert result.structured_content is not None
    assert result.structured_content.pop("duration_ms") > 0
    assert result.structured_content == {
        "stdout": "42\n",
        "stderr": "",
        "exit_code": 0,
        "results": [],
        "error": None,
        "truncated": False,
        "error_kind": None,
    }


async def test_arguments_are_repaired_and_refused_as_agents_expect() -> None:
    async with in_process() as client:
        assert "Result(1)" in text(await run(client, code="1"))
        for made_up in ("default", "sandbox_12345", "auto", "0", ""):
            assert "Result(2)" in text(await run(client, code_block="2", sandbox_id=made_up))
        refused = await run(client, code_block="3", sandbox_id="sb-77")
    assert refused.is_error
    assert text(refused) == (
        "[ERROR]: Failed to connect to sandbox sb-77. "
        "Make sure the sandbox is created and the sandbox_id is correct."
    )
    assert refused.structured_content == {"error_kind": "no_such_sandbox"}


async def test_the_codes_own_failure_is_no_error_of_the_tool() -> None:
    async with in_process() as client:
        failed = await run(client, code_block="1/0")
        late = await run(client, {"agentdock/timeout_s": 0.5}, code_block="while True: pass")
    assert not failed.is_error
    assert not late.is_error
    assert late.structured_content is not None
    assert late.structured_content["error_kind"] == "timeout"


async def test_a_long_text_is_cut_and_the_fields_say_so() -> None:
    async with in_process() as client:
        result = await run(client, code_block="print('x' * 50_000)")
    assert text(result).endswith(", Error: None) [Result truncated due to length limit]")
    assert len(text(result)) < 20_200
    assert result.structured_content is not None
    assert result.structured_content["truncated"]
    assert len(result.structured_content["stdout"]) == 50_001


async def test_code_that_kills_its_keeper_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal, subprocess\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True, env={})\n"
        "print(os.getpid(), child.pid)\n"
        "os.kill(os.getppid(), signal.SIGKILL)\n"
        "signal.pause()"
    )
    async with sandbox(tmp_path) as client:
        result = await run(client, code_block=code)
        assert result.structured_content is not None
        fields = result.structured_content
        assert fields["error_kind"] == "killed"
        assert not [pid for pid in map(int, fields["stdout"].split()) if leaks.alive(pid)]
        assert "Result(4)" in text(await run(client, code_block="4"))
    assert list(tmp_path.iterdir()) == []


async def test_nothing_outlives_a_server_that_was_killed(tmp_path: Path) -> None:
    """The daemon has an empty environment: no marker could find it."""
    code = (
        "import os, signal, subprocess\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True, env={})\n"
        "print(child.pid)\n"
        "os.kill(int(open(f'/proc/{os.getppid()}/stat').read().split()[3]), signal.SIGKILL)\n"
        "signal.pause()"
    )
    before = leaks.descendants()
    async with sandbox(tmp_path, "legacy") as client:
        during = leaks.descendants() - before
        with pytest.raises(Exception, match=r"(?i)closed"):
            await run(client, code_block=code)
    assert during
    assert leaks.left_since(before) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("meta", "run_s"),
    [
        (None, 60),
        ({}, 60),
        ({"agentdock/timeout_s": "soon"}, 60),
        ({"agentdock/timeout_s": -1}, 60),
        ({"agentdock/timeout_s": True}, 60),
        ({"agentdock/timeout_s": 300}, 297),
        ({"agentdock/timeout_s": 602}, 599),
        ({"agentdock/timeout_s": 604}, 600),
        ({"agentdock/timeout_s": 1200}, 600),
        ({"agentdock/timeout_s": 2}, 1.4),
    ],
)
def test_the_deadline_of_a_call_sets_the_limit_of_the_code(
    meta: dict[str, Any] | None, run_s: float
) -> None:
    limit = time_limit(meta)
    assert limit.run_s == pytest.approx(run_s)
    if run_s != 60:
        assert limit.run_s + limit.grace_s < (meta or {})["agentdock/timeout_s"]


@given(st.text(max_size=50), st.integers(0, 1200))
def test_a_cut_text_keeps_its_beginning_and_its_end(piece: str, times: int) -> None:
    whole = piece * times
    cut = texts.cut(whole)
    if len(whole) <= 20_000:
        assert cut == whole
        return
    assert cut.startswith(
        whole[:14_000] + f"\n[... {len(whole) - 20_000} characters omitted ...]\n"
    )
    assert cut.endswith(whole[-6_000:] + " [Result truncated due to length limit]")
    json.dumps(cut)
