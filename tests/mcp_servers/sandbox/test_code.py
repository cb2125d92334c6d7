"""What foreign Python does and what agents are told of it."""

from __future__ import annotations

import asyncio
import os

import pytest

from mcp_servers.sandbox import texts
from mcp_servers.sandbox.tools import Tools
from tests.mcp_servers.sandbox.standing import LIMIT, opened, run

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_is_printed_comes_back_in_the_words_agents_know(tools: Tools) -> None:
    done = await run(tools, "print(6 * 7)")
    wanted = "Execution(Results: [], Logs: Logs(stdout: ['42\\n'], stderr: []), Error: None)"
    assert texts.execution(done) == wanted


@pytest.mark.parametrize(
    ("code", "results"),
    [
        ("x = 20\nx + 1", ["21"]),
        ("print", ["<built-in function print>"]),
        ("6 * 7;", []),
        ("import asyncio\nawait asyncio.sleep(0, 'waited')", ["'waited'"]),
        ("display(1, 2)\n3", ["1", "2", "3"]),
        ("", []),
        ("# nothing", []),
        ("None", []),
        ("x = 1", []),
        ("def f():\n  return 1", []),
    ],
)
async def test_the_value_of_a_last_expression_is_a_result(
    code: str, results: list[str], tools: Tools
) -> None:
    done = await run(tools, code)
    assert (done.results, done.error, done.exit_code) == (results, None, 0)


async def test_stderr_is_kept_apart_from_stdout(tools: Tools) -> None:
    done = await run(tools, "import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


async def test_an_exception_is_a_result_whose_traceback_begins_in_the_code(tools: Tools) -> None:
    done = await run(tools, "def f():\n    return 1 / 0\nf()")
    assert done.error is not None
    assert texts.execution(done) == (
        "Execution(Results: [], Logs: Logs(stdout: [], stderr: []), Error: ExecutionError("
        "name='ZeroDivisionError', value='division by zero', traceback="
        "'Traceback (most recent call last):\\n"
        '  File "<code_block>", line 3, in <module>\\n    f()\\n'
        '  File "<code_block>", line 2, in f\\n    return 1 / 0\\n           ~~^~~\\n'
        "ZeroDivisionError: division by zero\\n'))"
    )
    assert (done.exit_code, done.error_kind) == (1, "exception")


async def test_a_syntax_error_is_a_result(tools: Tools) -> None:
    done = await run(tools, "def f(:")
    assert done.error is not None
    assert done.error["name"] == "SyntaxError"
    assert 'File "<code_block>", line 1' in done.error["traceback"]


@pytest.mark.parametrize(
    ("code", "exit_code", "kind", "name"),
    [
        ("raise SystemExit(3)", 3, "exit", "SystemExit"),
        ("import sys\nsys.exit()", 0, None, None),
        ("import sys\nsys.exit('no')", 1, "exit", "SystemExit"),
        ("import os\nos._exit(5)", 5, "exit", "ProcessExit"),
        ("import os\nos.kill(os.getpid(), 9)", 137, "killed", "ProcessKilled"),
        ("import ctypes\nctypes.string_at(0)", 139, "killed", "ProcessKilled"),
    ],
)
async def test_an_early_end_says_how_it_came(
    code: str, exit_code: int, kind: str | None, name: str | None, tools: Tools
) -> None:
    done = await run(tools, "print('before')\n" + code)
    assert (done.stdout, done.exit_code, done.error_kind) == ("before\n", exit_code, kind)
    assert (done.error or {}).get("name") == name


async def test_code_runs_as_a_real_main_module(tools: Tools) -> None:
    done = await run(
        tools,
        "import inspect, pickle, sys\n"
        "class A: pass\n"
        "def f(): return 1\n"
        "print(__name__, pickle.loads(pickle.dumps(A())).__class__ is A)\n"
        "print(inspect.getsource(f), sys.modules['__main__'].A is A, sys.argv)",
    )
    assert done.stdout == "__main__ True\ndef f(): return 1\n True ['']\n"


async def test_threads_of_a_lone_block_are_waited_for(tools: Tools) -> None:
    code = (
        "import threading, time\n"
        "def late():\n    time.sleep(0.1)\n    print('late')\n"
        "threading.Thread(target=late).start()\nprint('soon')"
    )
    assert (await run(tools, code)).stdout == "soon\nlate\n"


async def test_modules_written_by_the_code_can_be_imported(tools: Tools) -> None:
    done = await run(tools, "open('mine.py', 'w').write('x = 5')\nimport mine\nmine.x")
    assert done.results == ["5"]


async def test_processes_of_multiprocessing_share_the_work(tools: Tools) -> None:
    code = (
        "import multiprocessing\ndef square(n): return n * n\n"
        "with multiprocessing.Pool(2) as pool: print(pool.map(square, range(4)))"
    )
    assert (await run(tools, code)).stdout == "[0, 1, 4, 9]\n"


async def test_lines_for_the_shell_run_there(tools: Tools) -> None:
    done = await run(tools, "%matplotlib inline\nif True:\n    !echo $((6 * 7))\nprint('end')")
    assert (done.stdout, done.error) == ("42\nend\n", None)


@pytest.mark.parametrize("code", ["%time x = 6 * 7\nx", "%%time\nx = 6 * 7\nx"])
async def test_what_a_notebook_would_time_is_run(tools: Tools, code: str) -> None:
    done = await run(tools, code)
    assert (done.results, done.error) == (["42"], None)


async def test_what_only_a_notebook_does_is_refused_by_name_and_nothing_runs(tools: Tools) -> None:
    done = await run(tools, "print('begun')\n%timeit 6 * 7")
    assert done.stdout == ""
    assert done.error is not None
    assert done.error["name"] == "SyntaxError"
    assert "%timeit is a magic of IPython" in done.error["value"]


async def test_a_percent_sign_in_a_text_is_left_alone(tools: Tools) -> None:
    done = await run(tools, "!true\ntext = '''\n%s and\n'''\ntext % 1")
    assert done.results == ["'\\n1 and\\n'"]


async def test_nothing_of_our_environment_reaches_the_code(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTDOCK_TEST_CANARY", "canary-5417")
    done = await run(
        tools, "import os\nprint(*sorted(os.environ))\nprint(open('/proc/self/environ').read())"
    )
    assert "canary-5417" not in done.stdout
    assert done.stdout.splitlines()[0].split() == [
        "HOME",
        "LANG",
        "MPLBACKEND",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "TMPDIR",
        "USER",
    ]


async def test_the_project_is_not_on_the_path_of_the_code(tools: Tools) -> None:
    done = await run(tools, "import manager")
    assert done.error is not None
    assert done.error["name"] == "ModuleNotFoundError"


async def test_stdin_is_empty_and_no_other_descriptor_is_inherited(tools: Tools) -> None:
    done = await run(
        tools, "import os, sys\nprint(repr(sys.stdin.read()), os.listdir('/proc/self/fd'))"
    )
    said, _, listed = done.stdout.partition(" ")
    assert said == "''"
    # Standard streams, the worker's socket, and the listing itself.
    assert len(listed.split(",")) == 5


async def test_a_command_inherits_nothing_but_its_streams(tools: Tools) -> None:
    async with opened(tools) as sandbox:
        beside = asyncio.create_task(sandbox.command("sleep 60", LIMIT))
        try:
            # So its first process has all that one can have.
            await sandbox.python("1", LIMIT)
            done = await sandbox.command("echo /proc/self/fd/*", LIMIT)
        finally:
            beside.cancel()
    # bash's own; it opens the folder while it reads it.
    assert done.stdout.split() == [f"/proc/self/fd/{number}" for number in range(4)]


async def test_a_large_piece_of_code_runs(tools: Tools) -> None:
    done = await run(tools, "x = '" + "é" * 3_000_000 + "'\nlen(x)")
    assert done.results == ["3000000"]


async def test_bytes_that_are_no_text_do_no_harm(tools: Tools) -> None:
    done = await run(
        tools,
        "import os\n"
        "class Odd:\n    __repr__ = lambda self: '\\udc80'\n"
        "os.write(1, b'\\xff\\x00ok')\n"
        "print('\\udc80')\n"
        "Odd()",
    )
    assert done.stdout == "\ufffd\x00ok\\udc80\n"
    assert done.results == ["\\udc80"]


async def test_a_value_whose_repr_fails_is_an_error_of_the_code(tools: Tools) -> None:
    done = await run(tools, "class Bad:\n    def __repr__(self): raise KeyError('no')\nBad()")
    assert done.error is not None
    assert done.error["name"] == "KeyError"


@pytest.mark.parametrize(
    "forged",
    [
        b"rubbish-that-is-long-enough",
        b"\x00\x00\x00\x02[]",
        b"\xff\xff\xff\xff",
        b'\x00\x00\x00\x0e{"results": 1}',
        b'\x00\x00\x00\x14{"error": {"name":1}}',
        b'\x00\x00\x00\x13{"exit_code": "no"}',
    ],
)
async def test_a_forged_report_harms_its_own_sandbox_only(forged: bytes, tools: Tools) -> None:
    async with opened(tools) as sandbox:
        code = (
            "import os\nfor fd in range(3, 20):\n"
            f"    try: os.write(fd, {forged!r})\n    except OSError: pass\nos._exit(0)"
        )
        done = await sandbox.python(code, LIMIT)
        assert done.results == []
        # The next block may still be told that the process left.
        later = [await sandbox.python("6 * 7", LIMIT) for _ in range(2)]
        assert later[1].results == ["42"]


async def test_limits_stop_code_that_takes_too_much(tools: Tools) -> None:
    memory = await run(tools, "x = bytearray(3 << 30)")
    assert memory.error is not None
    assert memory.error["name"] == "MemoryError"
    files = await run(tools, "open('big', 'wb').truncate(1 << 30)")
    assert files.error is not None
    assert os.strerror(27) in files.error["value"]


async def test_pip_says_at_once_that_nothing_can_be_installed(tools: Tools) -> None:
    done = await run(tools, "!pip install six\n!python3 -m pip install six")
    assert done.stderr.count("packages cannot be installed in this sandbox") == 2
