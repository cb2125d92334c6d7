"""Tells code that needs no library: a small worker runs it, which begins and ends in less time."""

from __future__ import annotations

import re

MODULES = (
    "bisect",
    "collections",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "io",
    "itertools",
    "json",
    "math",
    "operator",
    "os",
    "pathlib",
    "random",
    "re",
    "statistics",
    "string",
    "sys",
    "textwrap",
    "time",
    "typing",
)
"""What such a worker has loaded."""

_LONGEST = 20_000
"""Characters beyond which nothing is told, for others wait meanwhile."""
_IMPORT = re.compile(r"\s*import ([\w ,.]+)|\s*from ([\w.]+) import [\w ,*]+")


def is_plain(code: str) -> bool:
    """Whether code imports nothing but these modules, as far as its text tells.

    A wrong answer costs time and nothing else: whatever is installed can be imported anywhere.
    """
    if len(code) > _LONGEST or "await" in code:
        return False
    for line in code.splitlines():
        if line.lstrip().startswith(("!", "%")):
            return False
        if "import" in line and not _imports_modules(line):
            return False
    return True


def _imports_modules(line: str) -> bool:
    match = _IMPORT.fullmatch(line.rstrip())
    if match is None:
        return False
    names = (match[1] or match[2]).split(",")
    return all(re.split(r"[ .]", name.strip())[0] in MODULES for name in names)
