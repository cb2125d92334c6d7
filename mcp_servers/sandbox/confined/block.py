"""What a block of code means, as in notebooks: its last value, `await`, lines for the shell."""

from __future__ import annotations

import ast
import re
from types import CodeType
from typing import NamedTuple

_SHELL_LINE = re.compile(r"^(\s*)(!|%)(.*)$")
_INSTALL = re.compile(r"^(pip3?|conda|mamba|uv)\b")
_SET_UP = ("matplotlib", "config", "load_ext", "reload_ext", "autoreload", "pylab")
"""Magics that set up a notebook; there is none here, and nothing to set up."""
_TIMES = ("time",)
"""Magics of code that is run as it is: the reply says how long it took."""
SHELL = "__shell__"
"""The name under which a block finds what runs its shell lines."""


class Block(NamedTuple):
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
        tree = _translated(code, filename)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or code.rstrip().endswith(";"):
        return Block(compile(tree, filename, "exec", flags), None)
    del tree.body[-1]
    body = compile(tree, filename, "exec", flags)
    return Block(body, compile(ast.Expression(last.value), filename, "eval", flags))


def _translated(code: str, filename: str) -> ast.Module:
    """Return a block that is not Python as it stands, its lines for shell and notebook replaced.

    Raises:
        SyntaxError: it is no Python even so; or a notebook would do what nothing here does.
    """
    lines = code.split("\n")
    unknown: SyntaxError | None = None
    for number, line in enumerate(lines):
        match = _SHELL_LINE.match(line)
        if match is None:
            continue
        indent, mark, rest = match.groups()
        magic, _, argument = rest.lstrip("%").strip().partition(" ")
        if mark == "!" or _INSTALL.match(rest):
            lines[number] = f"{indent}{SHELL}({rest!r})"
        elif magic in (*_SET_UP, *_TIMES):
            lines[number] = f"{indent}{argument if magic in _TIMES and argument else 'pass'}"
        elif unknown is None and magic.isidentifier():
            what = f"%{magic} is a magic of IPython, which is not here; write it in Python"
            unknown = SyntaxError(what, (filename, number + 1, len(indent) + 1, line))
    try:
        return ast.parse("\n".join(lines), filename)
    except SyntaxError as error:
        raise unknown or error from None
