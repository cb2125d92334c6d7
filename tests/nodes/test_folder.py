"""The folders of nodes that share one data folder."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nodes.folder import NodeFolder
from tests.guards.source import ROOT

AS_USER = ROOT / "tests" / "fakes" / "ordinary_user.py"
HOSTILE = """
import os, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from nodes.folder import NodeFolder

with tempfile.TemporaryDirectory() as name:
    data = Path(name)
    kept = data / "kept"
    kept.write_text("of another")
    old = data / "nodes" / "old"
    old.mkdir(parents=True)
    here = os.open(old, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    for mode in (0o000, 0o100, 0o400, 0o500):
        closed = old / "sandbox" / oct(mode)
        (closed / "within").mkdir(parents=True)
        (closed / "file").write_text("foreign")
        (closed / "link").symlink_to(kept)
        (closed / "away").symlink_to(data)
        closed.chmod(mode)
    (old / "sandbox").chmod(0)
    old.chmod(int(sys.argv[2], 8))
    os.utime(old, (0, 0))
    NodeFolder(data, "mine").sweep()
    print(os.geteuid() != 0, os.path.lexists(old), kept.read_text())
"""

LONG_AGO = time.time() - 100_000


def left(data: Path, node_id: str, when: float = LONG_AGO) -> Path:
    """Make a folder with something in it, as a node that was killed then leaves it."""
    folder = data / "nodes" / node_id
    (folder / "sandbox").mkdir(parents=True)
    (folder / "sandbox" / "kept").write_text("of an agent")
    os.utime(folder, (when, when))
    return folder


async def test_what_a_node_left_long_ago_goes_and_what_it_left_just_now_stays(
    tmp_path: Path,
) -> None:
    old, young = left(tmp_path, "old"), left(tmp_path, "young", time.time() - 60)
    NodeFolder(tmp_path, "mine").sweep()
    assert not old.exists()
    assert (young / "sandbox" / "kept").exists()


async def test_a_living_node_keeps_its_folder_however_long_it_was_silent(tmp_path: Path) -> None:
    silent = tmp_path / "nodes" / "silent"
    async with NodeFolder(tmp_path, "silent").kept():
        await asyncio.sleep(0)  # it shows its first sign of life
        os.utime(silent, (LONG_AGO, LONG_AGO))
        NodeFolder(tmp_path, "mine").sweep()
        assert silent.exists()
    NodeFolder(tmp_path, "mine").sweep()
    assert not silent.exists()


async def test_a_node_that_comes_back_finds_its_own(tmp_path: Path) -> None:
    folder = left(tmp_path, "mine", time.time() - 60)
    async with NodeFolder(tmp_path, "mine").kept():
        await asyncio.sleep(0)
        assert (folder / "sandbox" / "kept").read_text() == "of an agent"


async def test_what_is_no_nodes_folder_is_not_touched(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    left(tmp_path, "old")
    note, link = tmp_path / "nodes" / "note", tmp_path / "nodes" / "link"
    note.write_text("of somebody")
    link.symlink_to(elsewhere)
    for path in (note, elsewhere):
        os.utime(path, (LONG_AGO, LONG_AGO))
    NodeFolder(tmp_path, "mine").sweep()
    assert sorted(path.name for path in (tmp_path / "nodes").iterdir()) == ["link", "note"]
    assert elsewhere.is_dir()


@pytest.mark.parametrize("mode", ["700", "500"])
def test_what_foreign_code_closed_and_dug_deep_goes_too(mode: str) -> None:
    command = [sys.executable, "-c", HOSTILE, str(ROOT), mode]
    if os.geteuid() == 0:
        command = [sys.executable, str(AS_USER), *command]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True False of another\n", done.stderr
