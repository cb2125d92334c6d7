"""Runs one block of foreign code as `__main__` and says what came of it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` is made of; it has no stub
import io
import linecache
import sys
import traceback
import types
from typing import TYPE_CHECKING, Any

from mcp_servers.sandbox.confined.block import SHELL, compiled
from mcp_servers.sandbox.confined.figures import Figures
from mcp_servers.sandbox.confined.frames import Message

if TYPE_CHECKING:
    import asyncio

MAX_TEXT = 1 << 20
"""Characters of all values' reprs, of all their HTML, and of an error's text, that are reported."""
MAX_VALUES = 1000
MAX_NAME = 1000
_COROUTINE = 0x80
"""`inspect.CO_COROUTINE`, for the zygote is to stay small."""

Error = dict[str, str]


def open_streams() -> None:
    """Make stdout and stderr anew: by lines, so that what was printed has left before a kill."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw), "utf-8", errors="backslashreplace", line_buffering=True
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), "utf-8")


class Cell:
    """One run of one block.

    Args:
        main: The module whose variables it uses and leaves behind.
        figures: Where its pictures go.
    """

    def __init__(self, main: types.ModuleType, figures: Figures) -> None:
        self._main = main
        self._figures = figures
        self._results: list[str] = []
        self._html: list[str] = []
        self._dropped = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, code: str, filename: str, *, last: bool) -> Message:
        """Run a block and return the report; whatever the code raises is in it."""
        self._main.__dict__.update({"__file__": filename, SHELL: _shell, "display": self.show})
        # Tracebacks and inspect find the source here: it is in no file.
        linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
        error, status = None, 0
        pictures: list[str] = []
        try:
            _heed(_signal.default_int_handler)
            error, status = self._attempt(code, filename, last=last)
            pictures = self._take_pictures()
        except BaseException as fault:
            error, status = error or describe(fault, filename), status or 1
            self._figures.drop()
        finally:
            _heed(_signal.SIG_IGN)
        _flush()
        return {
            "results": len(self._results),
            "html": len(self._html),
            "images": len(pictures),
            "error": error is not None,
            "dropped": self._dropped,
            "exit_code": status,
            "texts": [*self._results, *self._html, *pictures, *(error or {}).values()],
        }

    def _attempt(self, code: str, filename: str, *, last: bool) -> tuple[Error | None, int]:
        """Return the error that the code raised, if any but an interrupt, and an exit code."""
        try:
            self._execute(code, filename)
            if last:
                _join_threads()
        except KeyboardInterrupt:
            raise
        except SystemExit as request:
            if request.code is None or request.code == 0:
                return None, 0
            status = request.code & 0xFF if isinstance(request.code, int) else 1
            return describe(request, filename), status
        except BaseException as fault:
            return describe(fault, filename), 1
        return None, 0

    def _take_pictures(self) -> list[str]:
        pictures, dropped = self._figures.take()
        self._dropped += dropped
        return pictures

    def _execute(self, code: str, filename: str) -> None:
        block = compiled(code, filename)
        self._evaluate(block.body)
        if block.value is not None:
            value = self._evaluate(block.value)
            if value is not None:
                self._main.__dict__["_"] = value
                self.show(value)

    def _evaluate(self, code: types.CodeType) -> Any:
        value = eval(code, self._main.__dict__)
        if code.co_flags & _COROUTINE:
            import asyncio

            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(value)
        return value

    def show(self, *values: Any, **_: Any) -> None:
        """Add values to the results: what `display` does, and the end of a block."""
        for value in values:
            image = _rich(value, "_repr_png_")
            if isinstance(image, bytes):
                self._figures.add(image)
            html = _rich(value, "_repr_html_")
            if isinstance(html, str):
                self._keep(self._html, html)
            self._keep(self._results, repr(value))

    def _keep(self, kept: list[str], text: str) -> None:
        room = MAX_TEXT - sum(map(len, kept)) if len(kept) < MAX_VALUES else 0
        self._dropped += len(text) > room
        if room:
            kept.append(text[:room])


def run(
    code: str, filename: str, main: types.ModuleType, figures: Figures, *, last: bool
) -> Message:
    """Run a block in `main` and return its report.

    The report says how many of its texts are `results`, then `html`, then `images` (PNGs as
    base64), and whether an `error` follows them (name, value, traceback); how many values and
    images were `dropped`, wholly or in part; and the `exit_code`.

    Args:
        code: The block.
        filename: What tracebacks call it.
        main: The module whose variables it uses and leaves behind.
        figures: Where its pictures go.
        last: No block comes after it, so its threads are waited for, as at the end of a program.
    """
    return Cell(main, figures).run(code, filename, last=last)


def describe(error: BaseException, filename: str) -> Error:
    """Return the error with its traceback, beginning at the block's first frame."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != filename:
        frame = frame.tb_next
    try:
        lines = traceback.format_exception(type(error), error, frame)
        text = str(error)
    except Exception as fault:  # a __str__ of foreign code may raise
        lines, text = [], f"(its text could not be had: {type(fault).__name__})"
    return {
        "name": type(error).__name__[:MAX_NAME],
        "value": text[:MAX_TEXT],
        "traceback": "".join(lines)[-MAX_TEXT:],
    }


def _rich(value: Any, method: str) -> Any:
    """Return what a value shows of itself beside its repr, if it does."""
    if isinstance(value, type) or not hasattr(type(value), method):
        return None
    try:
        return getattr(value, method)()
    except Exception:  # it has a repr all the same
        return None


def _shell(line: str) -> None:
    """Run a line of a block in the shell, and show what it prints."""
    import subprocess

    _flush()
    subprocess.run(["/bin/bash", "-c", line], check=False, stdin=subprocess.DEVNULL)


def _join_threads() -> None:
    threading: Any = sys.modules.get("threading")
    for thread in threading.enumerate() if threading else ():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _heed(handler: Any) -> None:
    """Set what an interrupt does: `signal.signal` costs a fork twenty pages more."""
    _signal.signal(_signal.SIGINT, handler)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    # What ran may have put anything in their site.
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


def file_name(number: int) -> str:
    """Return what tracebacks call the block of that number, from 1."""
    return "<code_block>" if number == 1 else f"<code_block {number}>"
