"""Habits that no linter knows."""

from __future__ import annotations

import ast
import re

from tests.guards.source import PACKAGES, Source, sources

BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "misc", "shared"}


def test_a_module_says_what_lives_here() -> None:
    silent = [
        source.path
        for source in sources(*PACKAGES, "benchmarks")
        if source.text.strip() and not ast.get_docstring(source.tree)
    ]
    assert silent == []


def test_a_file_is_named_after_what_it_holds() -> None:
    names = {source.path: source.path.split("/")[-1][:-3] for source in sources(*PACKAGES, "tests")}
    assert [path for path, name in names.items() if name in BANNED_NAMES] == []


def test_nothing_is_marked_as_unfinished() -> None:
    # Written apart, so that this file does not find itself.
    mark = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b(?!\(#\d+\))")
    assert [s.path for s in sources(*PACKAGES, "tests", "benchmarks") if mark.search(s.text)] == []


def test_an_exemption_from_a_check_names_its_rule_and_its_reason() -> None:
    bare = re.compile(r"#\s*(type: ignore|noqa)(?!(\[[\w, -]+\]  # \S|: [A-Z]+\d+,? ?.*\(\S))")
    wrong = [
        f"{source.path}:{number}"
        for source in sources(*PACKAGES)
        for number, line in enumerate(source.text.splitlines(), 1)
        if bare.search(line)
    ]
    assert wrong == []


def test_no_module_keeps_changeable_state() -> None:
    wrong = [
        f"{source.path}: global {', '.join(node.names)}"
        for source in sources(*PACKAGES)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Global)
    ]
    assert wrong == []


def test_tests_wait_for_events_and_never_just_sleep() -> None:
    wrong = [
        f"{source.path}:{line}"
        for source in sources("tests")
        if "fakes" not in source.path
        for line in _bare_sleeps(source)
    ]
    assert wrong == []


def _bare_sleeps(source: Source) -> list[int]:
    """Return where a test sleeps, but for `asyncio.sleep(0)` and within a loop that polls."""
    polling = {
        id(inner)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.While | ast.AsyncFor | ast.For)
        for inner in ast.walk(node)
    }
    return [
        node.lineno
        for called, node in source.calls()
        if called in ("time.sleep", "asyncio.sleep", "anyio.sleep")
        and id(node) not in polling
        and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]
