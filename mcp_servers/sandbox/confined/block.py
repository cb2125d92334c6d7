"""What a block of code means, as in notebooks: its last value, `await`, lines for the shell."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from types import CodeType

_SHELL_LINE = re.compile(r"^(\s*)(!|%)(.*)$")
_INSTALL = re.compile(r"^(pip3?|conda|mamba|uv)\b")
SHELL = "__shell__"
"""The name under which a block finds what runs its shell lines."""


@dataclass(frozen=True, slots=True)
class Block:
    """Code to execute, then an expression to evaluate, if the block ends in one."""

    body: CodeType
    value: CodeType | None


def compiled(code: str, filename: str) -> Block:
    """Return what a block means. As in notebooks, a semicolon at its end hides the last value.

    Raises:
        SyntaxError: it is no Python, even with its shell lines understood.
    """
    try:
        tree = ast.parse(code, filename)
    except SyntaxError:
        translated = _with_shell_lines(code)
        if translated is None:
            raise
        tree = ast.parse(translated, filename)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or code.rstrip().endswith(";"):
        return Block(compile(tree, filename, "exec", flags), None)
    del tree.body[-1]
    body = compile(tree, filename, "exec", flags)
    return Block(body, compile(ast.Expression(last.value), filename, "eval", flags))


def _with_shell_lines(code: str) -> str | None:
    """Return `code` with `!command` and `%magic` lines as calls; None if it has none."""
    lines = code.split("\n")
    found = False
    for number, line in enumerate(lines):
        match = _SHELL_LINE.match(line)
        if match is None:
            continue
        found = True
        indent, mark, rest = match.groups()
        if mark == "!" or _INSTALL.match(rest):
            lines[number] = f"{indent}{SHELL}({rest!r})"
        else:
            # Magics set up a notebook; there is none here, and nothing to set up.
            lines[number] = f"{indent}pass"
    return "\n".join(lines) if found else None
