"""The negative control's child: runs Python blocks as they come, in one namespace, unconfined."""

from __future__ import annotations

import ast
import io
import json
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from typing import Any


def run(code: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """Run a block; return what it printed, its last value and its error."""
    stdout, stderr = io.StringIO(), io.StringIO()
    results, error = [], None
    with redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            tree = ast.parse(code)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<code_block>", "exec"), namespace)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "<code_block>", "eval"), namespace)
                results = [] if value is None else [repr(value)]
        except BaseException as fault:
            trace = traceback.format_exc()
            error = {"name": type(fault).__name__, "value": str(fault), "traceback": trace}
    return {
        "stdout": stdout.getvalue(),
        "stderr": stderr.getvalue(),
        "results": results,
        "error": error,
        "error_kind": "exception" if error else None,
    }


if __name__ == "__main__":
    names: dict[str, Any] = {"__name__": "__main__"}
    for line in sys.stdin:
        answer = run(json.loads(line), names)
        sys.__stdout__.write(json.dumps(answer) + "\n")  # type: ignore[union-attr]  # it is a pipe
        sys.__stdout__.flush()  # type: ignore[union-attr]  # it is a pipe
