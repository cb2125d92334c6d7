"""Where the stand-in base image takes its packages from, by what a machine's own apt knows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.guards.source import ROOT

DEB822 = """Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
"""
LINE = "deb [signed-by=/etc/apt/keyrings/a.gpg] http://mirror.example/debian bookworm main\n"
OTHER = "# deb http://packages.example/bookworm bookworm main\ndeb http://p.example stable main\n"
DEBIAN = "ID=debian\nVERSION_CODENAME=bookworm\n"


def sources(folder: Path, *arguments: str, release: str = DEBIAN) -> str:
    """Return what the script says on stdout, or why it ended with a failure."""
    (folder / "os-release").write_text(release)
    done = subprocess.run(
        ["bash", str(ROOT / "deploy" / "base.sh"), "--sources", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "APT_FOLDER": str(folder),
            "OS_RELEASE": str(folder / "os-release"),
        },
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"refused: {done.stderr}"


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("sources.list", LINE),
        ("sources.list.d/debian.list", LINE),
        ("sources.list.d/debian.sources", DEB822),
        ("sources.list.d/mirror of ours.sources", DEB822),
    ],
)
def test_each_form_of_apts_sources_is_taken_and_others_are_left(
    apt: Path, name: str, content: str
) -> None:
    (apt / name).write_text(content)
    (apt / "sources.list.d" / "other.list").write_text(OTHER)
    assert sources(apt) == f"{apt / name}\n"


@pytest.mark.parametrize("content", [LINE, DEB822])
def test_another_release_comes_from_the_same_mirror(apt: Path, content: str) -> None:
    kind = "list" if content == LINE else "sources"
    (apt / "sources.list.d" / f"debian.{kind}").write_text(content)
    assert sources(apt, "trixie") == "deb http://mirror.example/debian trixie main\n"


def test_a_mirror_may_be_named(apt: Path) -> None:
    (apt / "sources.list").write_text(LINE)
    said = sources(apt, "trixie", "http://other.example/debian")
    assert said == "deb http://other.example/debian trixie main\n"


def test_without_any_source_it_says_what_to_name(apt: Path) -> None:
    assert "names no mirror that has bookworm. Name one:" in sources(apt)


def test_ubuntu_is_sent_to_debian_for_its_chromium_is_in_no_package(apt: Path) -> None:
    (apt / "sources.list").write_text(LINE.replace("bookworm", "noble"))
    ubuntu = "ID=ubuntu\nVERSION_CODENAME=noble\n"
    said = sources(apt, release=ubuntu)
    assert said.startswith("refused: Ubuntu has Chromium as a snap only")
    assert "trixie http://deb.debian.org/debian" in said
    named = sources(apt, "trixie", "http://deb.debian.org/debian", release=ubuntu)
    assert named == "deb http://deb.debian.org/debian trixie main\n"
