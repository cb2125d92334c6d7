"""The tools of the sandbox: what is kept, for whom, how long, and in what words."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import ImageContent

from mcp_servers.sandbox.answers import answered
from mcp_servers.sandbox.confined import site
from mcp_servers.sandbox.sandbox import RESTARTED
from mcp_servers.sandbox.tools import Tools, time_limit
from tests.mcp_servers.sandbox.standing import (
    ME,
    OTHER,
    fields,
    meta,
    refused,
    settings,
    standing,
    text,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = (
    "[ERROR]: Failed to connect to sandbox {}. "
    "Make sure the sandbox is created and the sandbox_id is correct."
)


async def create(tools: Tools, owner: str = ME, ttl_s: float = 600) -> str:
    result = await tools.create(meta(owner), ttl_s)
    sandbox_id = fields(result)["sandbox_id"]
    assert text(result) == f"Sandbox created with sandbox_id: {sandbox_id}"
    return str(sandbox_id)


async def python(tools: Tools, code: str, sandbox_id: str = "", owner: str = ME) -> str:
    return text(await tools.python(meta(owner), code, sandbox_id, None))


async def command(
    tools: Tools, line: str, sandbox_id: str, timeout_s: float | None = None
) -> tuple[str, dict[str, Any]]:
    result = await tools.command(meta(), line, sandbox_id, timeout_s, background=False)
    return text(result), fields(result)


async def test_variables_and_files_live_until_the_sandbox_is_closed(tools: Tools) -> None:
    box = await create(tools)
    await python(tools, "x = 20\nopen('note', 'w').write('kept')", box)
    assert "Result(21)" in await python(tools, "x + 1", box)
    assert (await command(tools, "cat note", box))[1]["stdout"] == "kept"
    assert text(await tools.close(meta(), box)) == f"Sandbox {box} closed"
    assert await refused(tools.python(meta(), "x", box, None)) == UNKNOWN.format(box)


async def test_two_sandboxes_share_nothing(tools: Tools) -> None:
    one, two = await create(tools), await create(tools)
    await python(tools, "x = 1\nopen('mine', 'w').write('1')\nopen('/tmp/mine', 'w')", one)
    said = await python(
        tools, "import os\n('x' in globals(), os.listdir(), 'mine' in os.listdir('/tmp'))", two
    )
    assert "Result((False, [], False))" in said
    for box in (one, two):
        await tools.close(meta(), box)


async def test_an_empty_or_made_up_id_means_a_sandbox_that_is_thrown_away(tools: Tools) -> None:
    for made_up in ("", "default", "sandbox_12345", "auto", "0"):
        assert "Result(False)" in await python(tools, "y = 'x' in globals(); x = 1\ny", made_up)


async def test_other_tools_do_not_take_a_made_up_id(tools: Tools) -> None:
    for act in (
        tools.command(meta(), "true", "default", None, background=False),
        tools.close(meta(), "default"),
        tools.upload(meta(), "default", "a", "/home/user"),
        tools.output(meta(), "default", "command-1"),
    ):
        assert await refused(act) == (
            "[ERROR]: 'default' is not a valid sandbox_id. "
            "Please create a real sandbox first using the create_sandbox tool."
        )


async def test_a_sandbox_answers_to_its_owner_only(tools: Tools) -> None:
    box = await create(tools)
    for act in (
        tools.python(meta(OTHER), "1", box, None),
        tools.command(meta(OTHER), "true", box, None, background=False),
        tools.download(meta(OTHER), box, "a", None),
        tools.close(meta(OTHER), box),
        tools.python({}, "1", box, None),
    ):
        assert await refused(act) == UNKNOWN.format(box)
    listed = fields(await tools.list(meta()))["sandboxes"]
    assert [line["sandbox_id"] for line in listed] == [box]
    assert fields(await tools.list(meta(OTHER)))["sandboxes"] == []
    await tools.close(meta(), box)


@pytest.mark.parametrize("odd", ["sb-77", "../x", "a.b.c", "x" * 5000, "é\udc80\x00"])
async def test_an_id_that_was_never_handed_out_is_unknown(odd: str, tools: Tools) -> None:
    assert await refused(tools.python(meta(), "1", odd, None)) == UNKNOWN.format(odd)


async def test_a_command_tells_its_output_and_its_exit_code(tools: Tools) -> None:
    box = await create(tools)
    said, _ = await command(tools, "echo hello", box)
    assert said == "CommandResult(stderr='', stdout='hello\\n', exit_code=0, error='')"
    said, found = await command(tools, "echo oh >&2; exit 3", box)
    assert said == "CommandResult(stderr='oh\\n', stdout='', exit_code=3, error='')"
    assert (found["error_kind"], found["error"]) == (None, None)
    said, found = await command(tools, "echo a; sleep 30", box, 0.5)
    assert said == (
        "CommandResult(stderr='', stdout='a\\n', exit_code=130, "
        "error='The code ran longer than 0.5 s and was stopped.')"
    )
    assert found["error_kind"] == "timeout"
    await tools.close(meta(), box)


async def test_a_command_in_the_background_can_be_read_and_stopped(tools: Tools) -> None:
    box = await create(tools)
    line = "trap '' INT; echo begun; while true; do sleep 0.1; done"
    begun = await tools.command(meta(), line, box, None, background=True)
    number = fields(begun)["command_id"]
    async with asyncio.timeout(5):
        while True:
            output = await tools.output(meta(), box, number)
            if fields(output)["stdout"] == "begun\n":
                break
            await asyncio.sleep(0.02)
    assert fields(output)["running"]
    assert "exit_code=None" in text(output)
    stopped = fields(await tools.stop(meta(), box, number))
    assert (stopped["running"], stopped["exit_code"], stopped["error_kind"]) == (
        False,
        137,
        "stopped",
    )
    again = await tools.output(meta(), box, number)
    assert fields(again)["stdout"] == "begun\n"
    assert "no command 'no'" in await refused(tools.output(meta(), box, "no"))
    await tools.close(meta(), box)


@pytest.mark.parametrize("temporary", ["/tmp", "/var/tmp"])
async def test_an_interpreter_below_a_folder_for_temporary_files_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: str
) -> None:
    with tempfile.TemporaryDirectory(dir=temporary) as tree:
        Path(tree).chmod(0o755)
        (Path(tree) / "module").write_text("here")
        trees = [*site.trees(), tree]
        monkeypatch.setattr(site, "trees", lambda: trees)
        async with standing(settings(tmp_path)) as tools:
            answer = await tools.python(meta(), f"open('{tree}/module').read()", "", None)
    assert fields(answer)["results"] == ["'here'"]


async def test_each_sandbox_draws_other_random_numbers(tmp_path: Path) -> None:
    async with standing(settings(tmp_path, preload="numpy.random,random")) as tools:
        for code in ("import numpy\nnumpy.random.rand()", "import random\nrandom.random()"):
            drawn = [await tools.python({}, code, "", None) for _ in range(2)]
            values = [answer.structured_content["results"] for answer in drawn]
            assert values[0] != values[1]


async def test_nothing_is_left_of_the_blocks_that_are_rehearsed(tmp_path: Path) -> None:
    code = """
import builtins, linecache, signal, sys
(
    sorted(name for name in globals() if not name.startswith("__")),
    hasattr(builtins, "_"),
    [name for name in linecache.cache if name.startswith("<")],
    hasattr(sys, "last_value"),
    sys.exc_info(),
    sys.argv,
    sys.modules["__main__"].__dict__ is globals(),
    sys.modules["matplotlib.pyplot"].get_fignums(),
    signal.getsignal(signal.SIGINT) is signal.default_int_handler,
)"""
    names = ["builtins", "display", "linecache", "signal", "sys"]
    seen = "False, ['<code_block>'], False, (None, None, None), [''], True, [], True"
    async with standing(settings(tmp_path, preload="matplotlib.pyplot")) as tools:
        answer = await tools.python(meta(), code, "", None)
    assert fields(answer)["results"] == [f"({names}, {seen})"]


async def test_figures_and_images_come_without_being_asked_for(tmp_path: Path) -> None:
    async with standing(settings(tmp_path, preload="matplotlib.pyplot")) as tools:
        code = "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])\n"
        for end in ("", "plt.show()", "plt.show(); plt.figure(); _ = plt.plot([3])"):
            result = await tools.python(meta(), code + end, "", None)
            images = [part for part in result.content if isinstance(part, ImageContent)]
            assert len(images) == (2 if "figure" in end else 1), text(result)
            assert images[0].mime_type == "image/png"
            assert base64.b64decode(images[0].data).startswith(b"\x89PNG")
        code = "from PIL import Image\nImage.new('RGB', (2, 2))"
        result = await tools.python(meta(), code, "", None)
        assert [part.type for part in result.content] == ["text", "image"]
        code = "import pandas\npandas.DataFrame({'a': [1]})"
        result = await tools.python(meta(), code, "", None)
        assert "Result(   a\n0  1)" in text(result)
        assert "<table" in fields(result)["html"][0]


async def test_what_pyproject_promises_to_code_can_be_imported_and_used(tools: Tools) -> None:
    """Installed one by one with --no-deps, so a missing dependency would show only here."""
    said = await python(
        tools,
        "import lxml.etree, matplotlib.pyplot, openpyxl, PIL.Image, requests, scipy.linalg, sympy\n"
        "import numpy, pandas\n"
        "int(pandas.Series(numpy.arange(4)).sum() + scipy.linalg.det([[2, 0], [0, 2]]))",
    )
    assert "Results: [Result(10)]" in said


async def test_a_long_text_is_cut_and_the_fields_say_so(tools: Tools) -> None:
    result = await tools.python(meta(), "print('x' * 50_000)", "", None)
    assert text(result).endswith(", Error: None) [Result truncated due to length limit]")
    assert len(text(result)) < 20_200
    assert fields(result)["truncated"]
    assert len(fields(result)["stdout"]) == 50_001


async def test_execute_code_answers_as_agentdocks_does(tools: Tools) -> None:
    result = await tools.execute(meta(), "print(__import__('os').listdir())", "sub/my.py", None)
    answer = json.loads(text(result))
    assert answer == {
        "status": "success",
        "output": "['my.py']",
        "file_path": "/home/user/my.py",
        "generated_filename": "my.py",
    }
    failed = json.loads(text(await tools.execute(meta(), "1/0", None, None)))
    assert failed["status"] == "error"
    assert "ZeroDivisionError" in failed["output"]
    assert "goes up" in await refused(tools.execute(meta(), "1", "../x.py", None))


async def test_a_sandbox_expires_and_says_so(tools: Tools) -> None:
    box = await create(tools, ttl_s=0.2)
    async with asyncio.timeout(5):
        while "expired" not in (said := await refused_or_text(tools, box)):  # noqa: ASYNC110 (time)
            await asyncio.sleep(0.3)
    assert said.startswith(f"[ERROR]: Sandbox {box} has expired")
    assert await refused(tools.python(meta(OTHER), "1", box, None)) == UNKNOWN.format(box)


async def refused_or_text(tools: Tools, box: str) -> str:
    return text(await answered(tools.python(meta(), "1", box, None)))


async def test_files_outlive_the_server_and_the_first_reply_says_that_variables_do_not(
    tmp_path: Path,
) -> None:
    async with standing(settings(tmp_path)) as tools:
        box = await create(tools)
        await python(tools, "x = 1\nopen('note', 'w').write('kept')", box)
        gone = await create(tools, ttl_s=0.01)
        closed = await create(tools)
        await tools.close(meta(), closed)
    async with standing(settings(tmp_path)) as tools:
        assert len(fields(await tools.list(meta()))["sandboxes"]) == 1
        result = await tools.python(meta(), "open('note').read(), 'x' in globals()", box, None)
        assert "Result(('kept', False))" in text(result)
        assert text(result).endswith(RESTARTED)
        assert fields(result)["note"] == RESTARTED
        assert RESTARTED not in await python(tools, "1", box)
        assert "has expired" in await refused(tools.python(meta(), "1", gone, None))
        assert await refused(tools.python(meta(), "1", closed, None)) == UNKNOWN.format(closed)
        left = list((tmp_path / "sandboxes").glob("*/home"))
        assert len(left) == 1


async def test_beyond_what_an_owner_may_have_it_is_told_what_to_do(tmp_path: Path) -> None:
    more = {
        "owner_sandboxes": 1,
        "capacity": 2,
        "owner_calls": 1,
        "owner_waiting": 0,
    }
    async with standing(settings(tmp_path, **more)) as tools:
        box = await create(tools)
        assert "Close one first" in await refused(tools.create(meta(), 600))
        await create(tools, OTHER)
        with pytest.raises(MCPError, match="2 sandboxes are open here") as full:
            await tools.create(meta("third"), 600)
        assert full.value.error.data == {"agentdock/retry_after_s": 5.0}
        slow = asyncio.create_task(python(tools, "import time\ntime.sleep(0.5)", box))
        await asyncio.sleep(0)
        with pytest.raises(MCPError, match="wait for some of them"):
            await tools.python(meta(), "1", box, None)
        await slow
        assert "Result(1)" in await python(tools, "1", box)


@pytest.mark.parametrize(
    ("given", "asked_s", "run_s"),
    [
        (None, None, 60),
        ({}, None, 60),
        ({}, 5, 5),
        ({}, 5000, 600),
        ({"agentdock/timeout_s": "soon"}, None, 60),
        ({"agentdock/timeout_s": -1}, None, 60),
        ({"agentdock/timeout_s": True}, None, 60),
        ({"agentdock/timeout_s": 300}, None, 297),
        ({"agentdock/timeout_s": 300}, 10, 10),
        ({"agentdock/timeout_s": 10}, 300, 7),
        ({"agentdock/timeout_s": 604}, None, 600),
        ({"agentdock/timeout_s": 1200}, None, 600),
        ({"agentdock/timeout_s": 2}, None, 1.4),
    ],
)
async def test_the_deadline_of_a_call_sets_the_limit_of_the_code(
    given: dict[str, Any] | None, asked_s: float | None, run_s: float
) -> None:
    limit = time_limit(given, asked_s)
    assert limit.run_s == pytest.approx(run_s)
    deadline = (given or {}).get("agentdock/timeout_s")
    if isinstance(deadline, int) and deadline > 1:
        assert limit.run_s + limit.grace_s < deadline
