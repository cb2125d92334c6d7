"""Workspaces: what a start deletes of earlier servers, and what it must leave alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from mcp_servers.sandbox import keeper, workspace

ROOT = Path(__file__).parents[2]
ABANDON = """
import os
from contextlib import ExitStack
from mcp_servers.sandbox import workspace
print(workspace.make(ExitStack()), flush=True)
os._exit(9)
"""


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the one for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def abandoned(tmp: Path) -> Path:
    """Return the workspace of a server that died without a chance to delete it."""
    done = subprocess.run(
        [sys.executable, "-c", ABANDON],
        cwd=ROOT,
        env={"TMPDIR": str(tmp)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return Path(done.stdout.strip())


def test_a_start_deletes_the_workspace_of_a_dead_server(tmp: Path) -> None:
    found = abandoned(tmp)
    (found / "deep" / "er").mkdir(parents=True)
    workspace.delete_stale()
    assert list(tmp.iterdir()) == []


def test_a_start_leaves_the_workspaces_of_living_servers(tmp: Path) -> None:
    with ExitStack() as stack:
        made = Path(workspace.make(stack))
        os.utime(made.parent, (0, 0))
        workspace.delete_stale()
        assert made.is_dir()
    assert list(tmp.iterdir()) == []


@pytest.mark.parametrize("name", ["agentdock-dev", "agentdock-data", "agentdock-sandbox-mine"])
def test_a_start_leaves_the_folders_of_strangers(tmp: Path, name: str) -> None:
    (tmp / name / "work").mkdir(parents=True)
    (tmp / name / "work" / "precious").touch()
    os.utime(tmp / name, (0, 0))
    workspace.delete_stale()
    assert (tmp / name / "work" / "precious").exists()


@pytest.mark.parametrize("text", ["", "somebody else's"])
def test_a_folder_with_another_seal_is_a_strangers(tmp: Path, text: str) -> None:
    folder = tmp / f"{workspace.PREFIX}x"
    folder.mkdir()
    (folder / workspace.SEAL).write_text(text)
    workspace.delete_stale()
    assert folder.exists()


def test_a_copy_of_a_workspace_is_a_strangers(tmp: Path) -> None:
    home = abandoned(tmp).parent
    copy = tmp / f"{workspace.PREFIX}copy"
    shutil.copytree(home, copy)
    workspace.delete_stale()
    assert list(tmp.iterdir()) == [copy]


def test_a_link_to_a_workspace_is_not_followed(tmp: Path) -> None:
    elsewhere = tmp / "elsewhere"
    abandoned(tmp).parent.rename(elsewhere)
    (tmp / f"{workspace.PREFIX}link").symlink_to(elsewhere)
    workspace.delete_stale()
    assert elsewhere.exists()


def test_the_keeper_and_the_server_know_the_same_seal() -> None:
    assert keeper.SEAL == workspace.SEAL


def test_a_keeper_deletes_the_folder_of_a_dead_servers_workspace(tmp: Path) -> None:
    found = abandoned(tmp)
    (found / "left").touch()
    keeper._remove(str(found))
    assert list(tmp.iterdir()) == []


def test_a_keeper_leaves_a_folder_that_holds_more_than_a_workspace(tmp: Path) -> None:
    (tmp / "project" / "work").mkdir(parents=True)
    (tmp / "project" / "precious").touch()
    keeper._remove(str(tmp / "project" / "work"))
    assert [path.name for path in (tmp / "project").iterdir()] == ["precious"]
