"""The process that runs a sandbox's Python, block after block, and keeps its variables."""

from __future__ import annotations

import linecache
import os
import socket
import sys
import traceback
import types
from collections.abc import Sequence
from typing import NoReturn

from mcp_servers.sandbox.confined import cell, frames, linux
from mcp_servers.sandbox.confined.children import ENDED_UNSEEN
from mcp_servers.sandbox.confined.draws import Draws
from mcp_servers.sandbox.confined.figures import Figures
from mcp_servers.sandbox.confined.frames import Message

REHEARSALS = 16
"""Runs of a block after which nothing is written to the interpreter's own code any more."""


class Worker:
    """Runs Python. It is made in the zygote, and serves in a fork of it in each sandbox."""

    def __init__(self) -> None:
        self._main = types.ModuleType("__main__")
        self._figures = Figures()
        self._draws = Draws()

    def prepare(self) -> None:
        """Make ready, in the zygote, what every sandbox needs."""
        cell.open_streams()
        sys.modules["__main__"] = self._main
        sys.argv = [""]
        self._figures.prepare()
        self._rehearse()

    def prepare_draws(self) -> None:
        """Make, where new objects lie together, what is written to before each fork."""
        self._draws.prepare()

    def draw_anew(self) -> None:
        """Have the next fork draw other random numbers than all before; each has to be told of.

        It is done before, since a fork has to copy what it writes to.
        """
        self._draws.begin_anew()

    def serve_to_the_end(self, connection: socket.socket) -> NoReturn:
        """Run what the server sends until it closes its end, and end with it."""
        try:
            # It is a plain process again, whose own files below /proc are its own.
            linux.set_dumpable(True)
            sys.path.insert(0, os.getcwd())
            try:
                self._serve(connection)
            except (EOFError, OSError):
                pass  # the server closed its end
        except BaseException:  # nothing of this may reach the loop that was forked
            traceback.print_exc()
            os._exit(ENDED_UNSEEN)
        os._exit(0)

    def _serve(self, connection: socket.socket) -> None:
        """Run what the server sends until it closes its end. The process is the code's now.

        Raises:
            EOFError: the server closed its end.
        """
        number = 0
        while True:
            message, descriptors = frames.receive(connection)
            number += 1
            last = bool(message.get("last"))
            report = self._run(str(message["code"]), number, descriptors, last=last)
            frames.send(connection, report)

    def _rehearse(self) -> None:
        """Run blocks that leave no trace, so that the interpreter has adapted its code to them.

        What is written to in the zygote, once, is not copied for each fork that writes to it.
        """
        name = cell.file_name(1)
        for _ in range(REHEARSALS):
            for code in ("1", "1 / 0"):
                said = frames.pack({"code": code, "last": True})
                message = frames.parse(said[frames.HEAD.size :], len(said) - frames.HEAD.size)
                main = types.ModuleType("__main__")
                report = cell.run(message["code"], name, main, self._figures, last=True)
                frames.pack(report)
        del linecache.cache[name]

    def _run(
        self,
        code: str,
        number: int,
        descriptors: Sequence[int],
        *,
        last: bool,
    ) -> Message:
        for target, descriptor in zip((1, 2), descriptors, strict=True):
            os.dup2(descriptor, target)
            os.close(descriptor)
        try:
            name = cell.file_name(number)
            return cell.run(code, name, self._main, self._figures, last=last)
        finally:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            os.close(null)
