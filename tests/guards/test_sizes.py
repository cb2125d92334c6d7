"""Small on purpose. There is no list of exceptions."""

from __future__ import annotations

from statistics import median, quantiles

from tests.guards.source import PACKAGES, sources

LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def test_no_file_is_long() -> None:
    long = {
        source.path: source.lines
        for source in sources(*PACKAGES, "benchmarks", "deploy", "tests")
        if source.lines > LONGEST_FILE
    }
    assert long == {}


def test_files_are_short_as_a_rule() -> None:
    assert median(source.lines for source in sources(*PACKAGES) if source.lines > 1) <= 150


def test_no_function_is_long() -> None:
    long = {
        f"{source.path}:{name}": lines
        for source in sources(*PACKAGES, "benchmarks", "deploy", "tests")
        for name, lines in source.functions()
        if lines > LONGEST_FUNCTION
    }
    assert long == {}


def test_functions_are_short_as_a_rule() -> None:
    lengths = [lines for source in sources(*PACKAGES) for _, lines in source.functions()]
    assert quantiles(lengths, n=10)[-1] <= 30


def test_a_protocol_is_short() -> None:
    long = {
        source.path: source.lines
        for source in sources(*PACKAGES)
        if source.path.endswith("/base.py") and source.lines > 150
    }
    assert long == {}
