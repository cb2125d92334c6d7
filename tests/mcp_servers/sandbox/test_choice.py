"""Which level is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcp_servers.sandbox.app import running
from mcp_servers.sandbox.levels.base import LevelFault
from mcp_servers.sandbox.run import Run
from mcp_servers.sandbox.sandbox import Sandbox
from tests.mcp_servers.sandbox.standing import settings


async def test_a_level_on_which_no_python_runs_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> Run:
        run = Run()
        run.fail("exit", "NotStarted", "setns: Operation not permitted")
        return run

    monkeypatch.setattr(Sandbox, "python", refuse)
    with pytest.RaisesGroup(pytest.RaisesExc(LevelFault, match="no Python runs")):
        async with running(settings(tmp_path, level="namespaces")):
            pass
