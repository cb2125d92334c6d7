"""Runs one piece of foreign code as `__main__` and reports its value and its error. Stdlib only."""

from __future__ import annotations

import ast
import io
import json
import linecache
import os
import resource
import signal
import sys
import traceback
import types
from typing import Any

FILENAME = "<code_block>"
LIMITS = {
    resource.RLIMIT_AS: 2 << 30,
    resource.RLIMIT_FSIZE: 256 << 20,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_CORE: 0,
}
MAX_TEXT = 1 << 20
"""Characters of a value's repr or an error's text that are reported."""


def run(code: str, report: int) -> int:
    """Execute `code`, write the report as JSON to the descriptor `report`, return the exit code.

    The report holds `results` (the repr of the last expression's value, if there is one) and
    `error` (`name`, `value`, `traceback`, or null).
    """
    os.set_inheritable(report, False)
    for limit, most in LIMITS.items():
        hard = resource.getrlimit(limit)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # By lines, so that what was printed before a kill has left the process.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.argv = [""]
    sys.path.insert(0, os.getcwd())
    results, error, status = _execute(code)
    _flush()
    with open(report, "wb") as pipe:
        pipe.write(json.dumps({"results": results, "error": error}).encode())
    return status


def _execute(code: str) -> tuple[list[str], dict[str, str] | None, int]:
    main = types.ModuleType("__main__")
    main.__file__ = FILENAME
    sys.modules["__main__"] = main
    # Tracebacks and inspect find the source here: it is in no file.
    linecache.cache[FILENAME] = (len(code), None, code.splitlines(keepends=True), FILENAME)
    try:
        value = _evaluate(code, main.__dict__)
        return ([] if value is None else [repr(value)[:MAX_TEXT]]), None, 0
    except SystemExit as request:
        if request.code is None or request.code == 0:
            return [], None, 0
        status = request.code if isinstance(request.code, int) else 1
        return [], _describe(request), status & 0xFF
    except BaseException as error:  # whatever foreign code raises is its result
        return [], _describe(error), 1


def _evaluate(code: str, namespace: dict[str, Any]) -> Any:
    """Run the statements; return the last one's value if it is an expression."""
    tree = ast.parse(code, FILENAME)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        del tree.body[-1]
    exec(compile(tree, FILENAME, "exec"), namespace)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), FILENAME, "eval"), namespace)


def _describe(error: BaseException) -> dict[str, str]:
    """Return the error with its traceback, beginning at the foreign code's first frame."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != FILENAME:
        frame = frame.tb_next
    try:
        lines = traceback.format_exception(type(error), error, frame)
        text = str(error)
    except Exception as fault:  # a __str__ of foreign code may raise
        lines, text = [], f"(its text could not be had: {type(fault).__name__})"
    return {
        "name": type(error).__name__,
        "value": text[:MAX_TEXT],
        "traceback": "".join(lines)[-MAX_TEXT:],
    }


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
