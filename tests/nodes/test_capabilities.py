"""What a node says that its machine has, and that calls go where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.app import create_service
from nodes.capabilities import probe
from nodes.entries import parse_entry
from nodes.settings import NodeSettings
from tests import leaks
from tests.nodes.running import eventually


def program(folder: Path, name: str, text: str) -> dict[str, str]:
    """Put a program into a folder; return an environment that finds it,."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return {"PATH": str(folder)}


async def test_a_machine_with_a_chromium_that_starts_has_a_browser(tmp_path: Path) -> None:
    environ = program(tmp_path, "chromium", 'test "$1" = --version && echo Chromium 150')
    assert await probe(environ) == ["browser"]


async def test_a_machine_without_one_has_none(tmp_path: Path) -> None:
    assert await probe({"PATH": str(tmp_path)}) == []
    assert await probe({}) == []


@pytest.mark.parametrize("text", ["exit 127", "exec /nowhere/chromium", "kill -SEGV $$"])
async def test_a_chromium_that_does_not_start_is_no_browser(tmp_path: Path, text: str) -> None:
    assert await probe(program(tmp_path, "chromium", text)) == []


async def test_a_chromium_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    environ = program(tmp_path, "chromium", "/bin/sleep 60 & wait")
    assert await probe(environ, probe_s=0.2) == []


async def test_another_chromium_is_tried_when_the_first_does_not_start(tmp_path: Path) -> None:
    program(tmp_path, "chromium", "exit 1")
    assert await probe(program(tmp_path, "google-chrome", "exit 0")) == ["browser"]


async def test_a_browser_that_is_named_is_the_only_one_that_counts(tmp_path: Path) -> None:
    environ = program(tmp_path, "chromium", "exit 0")
    program(tmp_path, "another", "exit 0")
    assert await probe(environ, str(tmp_path / "another")) == ["browser"]
    assert await probe(environ, str(tmp_path / "missing")) == []


async def test_a_nodes_report_says_its_capabilities(tmp_path: Path) -> None:
    environ = program(tmp_path, "chromium", "exit 0")
    profile = tmp_path / "empty.toml"
    profile.write_text("[mcpServers]\n")
    settings = NodeSettings.model_validate({"data_dir": tmp_path, "profile": str(profile)})
    node = create_service(settings, lambda: environ).node
    async with node.life():
        before = node.report()
        await eventually(lambda: bool(node.report().capabilities))
        assert node.report().capabilities == ["browser"]
        assert node.report().stamp != before.stamp


async def test_a_node_that_ends_meanwhile_leaves_nothing_of_the_look(tmp_path: Path) -> None:
    environ = program(tmp_path, "chromium", "/bin/sleep 60 & wait")
    profile = tmp_path / "empty.toml"
    profile.write_text("[mcpServers]\n")
    settings = NodeSettings.model_validate({"data_dir": tmp_path, "profile": str(profile)})
    node = create_service(settings, lambda: environ).node
    before = leaks.descendants()
    async with node.life():
        await eventually(lambda: bool(leaks.descendants() - before))
    assert leaks.left_since(before) == {}


def test_an_entry_may_prefer_a_capability() -> None:
    entry = parse_entry("x", {"command": "x", "agentdock": {"prefers": "browser"}}, {})
    assert entry.prefers == "browser"
