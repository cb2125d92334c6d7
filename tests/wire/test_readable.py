"""Folders that a strict umask closed: named, with what opens them, to who cannot read them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guards.source import ROOT
from wire.readable import closed

AS_USER = ROOT / "tests" / "fakes" / "ordinary_user.py"
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from wire.readable import closed
print(closed([Path(name) for name in sys.argv[2:]]))
"""


def seen(*paths: Path) -> str:
    """Return what an ordinary user is told of these paths."""
    command = [sys.executable, "-c", PROGRAM, str(ROOT), *map(str, paths)]
    if os.geteuid() == 0:
        command = [sys.executable, str(AS_USER), *command]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a file, both open to everybody, as is the way to them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        inner = Path(name) / "profiles"
        inner.mkdir()
        inner.chmod(0o755)
        (inner / "explore.toml").touch()
        (inner / "explore.toml").chmod(0o644)
        yield inner
        inner.chmod(0o755)


def test_what_is_open_or_missing_is_no_fault(folder: Path) -> None:
    assert seen(folder, folder / "explore.toml", folder / "none.toml") == "None"
    assert closed([folder]) is None


def test_a_closed_file_is_named_with_its_cure(folder: Path) -> None:
    file = folder / "explore.toml"
    file.chmod(0o600 if os.geteuid() == 0 else 0)
    said = seen(folder, file)
    assert said.startswith(f"{file}: user ")
    assert "chmod -R go+rX nodes/profiles mcp_servers" in said


@pytest.mark.parametrize("mode", [0o700, 0o750])
def test_a_closed_folder_closes_what_is_in_it(folder: Path, mode: int) -> None:
    file = folder / "explore.toml"
    folder.chmod(mode if os.geteuid() == 0 else 0)
    assert seen(folder, file).startswith(f"{folder} and {file}: user ")
