"""What foreign code does and what agents are told of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcp_servers.sandbox import texts
from mcp_servers.sandbox.runner import Run, Runner, TimeLimit


async def run(code: str, limit: TimeLimit | None = None) -> Run:
    return await Runner().run(code, limit or TimeLimit(run_s=20))


async def test_what_is_printed_comes_back_in_the_words_agents_know() -> None:
    done = await run("print(6 * 7)")
    wanted = "Execution(Results: [], Logs: Logs(stdout: ['42\\n'], stderr: []), Error: None)"
    assert texts.execution(done) == wanted


async def test_the_value_of_a_last_expression_is_a_result() -> None:
    done = await run("x = 20\nx + 1")
    assert done.results == ["21"]
    assert "Results: [Result(21)]" in texts.execution(done)


@pytest.mark.parametrize(
    "code", ["", "# nothing", "None", "x = 1", "print", "def f():\n  return 1"]
)
async def test_code_without_a_last_value_has_no_result(code: str) -> None:
    done = await run(code)
    assert (done.error, done.exit_code) == (None, 0)
    assert done.results == ([] if code != "print" else ["<built-in function print>"])


async def test_stderr_is_kept_apart_from_stdout() -> None:
    done = await run("import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


async def test_an_exception_is_a_result_whose_traceback_begins_in_the_code() -> None:
    done = await run("def f():\n    return 1 / 0\nf()")
    assert done.error is not None
    assert (done.error["name"], done.error["value"]) == ("ZeroDivisionError", "division by zero")
    assert done.error["traceback"].splitlines()[1:3] == [
        '  File "<code_block>", line 3, in <module>',
        "    f()",
    ]
    assert "sandbox" not in done.error["traceback"]
    assert (done.exit_code, done.error_kind) == (1, "exception")
    assert "Error: ExecutionError(name='ZeroDivisionError', value=" in texts.execution(done)


async def test_a_syntax_error_is_a_result() -> None:
    done = await run("def f(:")
    assert done.error is not None
    assert done.error["name"] == "SyntaxError"


@pytest.mark.parametrize(
    ("code", "exit_code", "name"),
    [
        ("import sys; sys.exit()", 0, None),
        ("import sys; sys.exit(3)", 3, "SystemExit"),
        ("import sys; sys.exit('no')", 1, "SystemExit"),
        ("import os; os._exit(4)", 4, "ProcessExit"),
        ("import os; os._exit(0)", 0, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, "ProcessKilled"),
        ("import ctypes; ctypes.string_at(0)", 139, "ProcessKilled"),
    ],
)
async def test_an_early_end_says_how_it_came(code: str, exit_code: int, name: str | None) -> None:
    done = await run(f"print('before')\n{code}")
    assert done.stdout == "before\n"
    assert (done.exit_code, done.error and done.error["name"]) == (exit_code, name)


async def test_code_runs_as_a_real_main_module() -> None:
    done = await run(
        "import dataclasses, inspect, pickle\n"
        "@dataclasses.dataclass\n"
        "class Point:\n    x: int\n"
        "print(__name__, pickle.loads(pickle.dumps(Point(1))), len(inspect.getsource(Point)))"
    )
    assert done.stdout == "__main__ Point(x=1) 47\n"


async def test_threads_of_the_code_are_waited_for() -> None:
    done = await run(
        "import threading\n"
        "go = threading.Event()\n"
        "threading.Thread(target=lambda: (go.wait(), print('thread'))).start()\n"
        "threading.Timer(0.05, go.set).start()"
    )
    assert done.stdout == "thread\n"


async def test_modules_written_by_the_code_can_be_imported() -> None:
    done = await run("open('mine.py', 'w').write('x = 5')\nimport mine\nmine.x")
    assert done.results == ["5"]


async def test_nothing_of_the_environment_reaches_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENTDOCK_TEST_CANARY", "canary-5417")
    done = await run(
        "import os\nprint(sorted(os.environ))\nprint(open('/proc/self/environ').read())"
    )
    assert done.stdout.splitlines()[0] == "['HOME', 'LANG', 'PATH', 'TMPDIR']"
    assert "canary-5417" not in done.stdout


async def test_the_project_is_not_on_the_path_of_the_code() -> None:
    done = await run("import sys\nprint(sys.path)\nimport manager")
    assert done.error is not None
    assert done.error["name"] == "ModuleNotFoundError"
    assert str(Path(__file__).parents[2]) + "'" not in done.stdout


async def test_stdin_is_empty_and_no_other_descriptor_is_inherited() -> None:
    done = await run(
        "import os, sys\nprint(repr(sys.stdin.read()), len(os.listdir('/proc/self/fd')))"
    )
    # stdin, stdout, stderr, the report and the listing itself.
    assert done.stdout == "'' 5\n"


async def test_the_workspace_is_empty_at_first_and_gone_afterwards() -> None:
    done = await run(
        "import os\n"
        "print(os.listdir(), os.getcwd() == os.environ['HOME'])\n"
        "os.makedirs('a/b'); open('a/b/c', 'w').write('x'); os.symlink('/etc/passwd', 'a/link')\n"
        "os.chmod('a/b', 0); os.chmod('a', 0)\n"
        "print(os.getcwd())"
    )
    first, workspace = done.stdout.splitlines()
    assert first == "[] True"
    assert not Path(workspace).exists()


async def test_a_large_piece_of_code_runs() -> None:
    done = await run("x = '" + "é" * 3_000_000 + "'\nlen(x)")
    assert done.results == ["3000000"]


async def test_bytes_that_are_no_text_do_no_harm() -> None:
    done = await run(
        "import os\n"
        "class Odd:\n    __repr__ = lambda self: '\\udc80'\n"
        "os.write(1, b'\\xff\\x00ok')\n"
        "print('\\udc80')\n"
        "Odd()"
    )
    assert done.stdout == "\ufffd\x00ok\\udc80\n"
    assert done.results == ["\\udc80"]


async def test_a_value_whose_repr_fails_is_an_error_of_the_code() -> None:
    done = await run("class Bad:\n    def __repr__(self): raise KeyError('no')\nBad()")
    assert done.error is not None
    assert done.error["name"] == "KeyError"


@pytest.mark.parametrize("report", ["rubbish", "[]", '{"results": 1}', '{"error": {"name": 1}}'])
async def test_a_forged_report_does_no_harm(report: str) -> None:
    done = await run(
        "import os\n"
        "for fd in range(3, 9):\n"
        "    try: os.write(fd, " + repr(report.encode()) + ")\n"
        "    except OSError: pass\n"
        "os._exit(0)"
    )
    assert (done.results, done.error) == ([], None)


async def test_limits_stop_code_that_takes_too_much() -> None:
    memory = await run("x = bytearray(3 << 30)")
    assert memory.error is not None
    assert memory.error["name"] == "MemoryError"
    files = await run("open('big', 'wb').truncate(1 << 30)")
    assert files.error is not None
    assert os.strerror(27) in files.error["value"]


async def test_what_pyproject_promises_to_code_can_be_imported_and_used() -> None:
    """Installed one by one with --no-deps, so a missing dependency would show only here."""
    done = await run(
        "import lxml.etree, matplotlib.pyplot, openpyxl, PIL.Image, requests, scipy.linalg, sympy\n"
        "import numpy, pandas\n"
        "int(pandas.Series(numpy.arange(4)).sum() + scipy.linalg.det([[2, 0], [0, 2]]))"
    )
    assert (done.error, done.results) == (None, ["10"])
