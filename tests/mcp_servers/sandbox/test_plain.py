"""Code that imports nothing but common modules runs in a worker that has nothing else loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcp_servers.sandbox.plain import MODULES, is_plain
from tests.mcp_servers.sandbox.standing import LIMIT, opened, run, settings, standing

LIBRARY = "wave"
"""Stands for a library: plain code has it not loaded."""
LOADED = f"import sys\n{LIBRARY!r} in sys.modules"


@pytest.mark.parametrize(
    "code",
    [
        "",
        "1 + 1",
        "import math",
        "import math, json as j ,random",
        "  import os.path",
        "from collections import Counter, deque",
        "from collections.abc import *\r\nimport re\r\n",
        "x = [\n    1,\n]\nprint(x)",
    ],
)
def test_code_that_imports_common_modules_is_plain(code: str) -> None:
    assert is_plain(code)


@pytest.mark.parametrize(
    "code",
    [
        "import numpy",
        "import math, numpy",
        "import math,",
        "import math; import numpy",
        "x = 1; import numpy",
        "from numpy import *",
        "from . import x",
        "from math import (",
        "import math \\",
        "__import__('numpy')",
        "exec('import numpy')",
        "importlib",
        "import mathematics",
        "from os import path; import numpy",
        "import numpy\x0cimport math",
        "await f()",
        "!ls",
        " %time f()",
        "1\n" * 20_000,
    ],
)
def test_other_code_is_not(code: str) -> None:
    assert not is_plain(code)


async def test_plain_code_runs_where_no_library_is_loaded(tmp_path: Path) -> None:
    async with standing(settings(tmp_path, preload=LIBRARY)) as tools:
        # On other levels one process has everything loaded.
        loaded = tools.sandboxes.level.name != "namespaces"
        assert (await run(tools, LOADED)).results == [str(loaded)]
        assert (await run(tools, f"import wave\n{LOADED}")).results == ["True"]
        async with opened(tools) as sandbox:
            assert (await sandbox.python(LOADED, LIMIT)).results == ["True"]


async def test_what_was_told_wrongly_works_all_the_same(tmp_path: Path) -> None:
    code = "exec('im' + 'port numpy, asyncio')\nint(numpy.arange(4).sum())"
    assert is_plain(code)
    async with standing(settings(tmp_path)) as tools:
        assert (await run(tools, code)).results == ["6"]


async def test_plain_code_draws_other_numbers_each_time(tmp_path: Path) -> None:
    code = "import random\nrandom.random()"
    async with standing(settings(tmp_path)) as tools:
        assert len({(await run(tools, code)).results[0] for _ in range(5)}) == 5


def test_its_modules_are_there() -> None:
    for name in MODULES:
        __import__(name)
