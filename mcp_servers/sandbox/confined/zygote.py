"""The zygote: `python -I zygote.py FD`. It has the libraries loaded and forks sandboxes.

It is started by the server with an empty environment and the one socket FD, and it is told nothing
but folders and limits: no secret is ever here, so none can be found in what is forked from it. On
the socket come `start`, `open` and `load` (frames.py); it answers, and says when a sandbox ended.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# -I leaves the project off the path, where foreign code shall not find it either.
sys.path.insert(0, str(Path(__file__).parents[3]))
from mcp_servers.sandbox.confined import first, frames, root
from mcp_servers.sandbox.confined.fallback import Fallback
from mcp_servers.sandbox.confined.frames import Message
from mcp_servers.sandbox.confined.namespaces import Namespaces
from mcp_servers.sandbox.confined.site import Site
from mcp_servers.sandbox.confined.steps import Steps
from mcp_servers.sandbox.confined.unconfined import Unconfined
from mcp_servers.sandbox.confined.worker import Worker

del sys.path[0]

LEVELS: dict[str, Callable[[Sequence[str], str], Steps]] = {
    "namespaces": Namespaces,
    "fallback": Fallback,
    "none": Unconfined,
}


class Zygote:
    """Forks sandboxes until the server is gone.

    Args:
        control: The server.
        steps: What to do on this level.
    """

    def __init__(self, control: socket.socket, steps: Steps) -> None:
        self._control = control
        self._steps = steps
        self._worker = Worker()
        self._names: dict[int, str] = {}

    def serve(self) -> None:
        """Answer until the server closes its end."""
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if woken in ready:
                os.read(woken, 4096)
                self._reap()
            if self._control.fileno() in ready:
                try:
                    message, descriptors = frames.receive(self._control)
                except frames.BadFrame:
                    continue
                try:
                    self._obey(message, descriptors)
                finally:
                    for descriptor in descriptors:
                        os.close(descriptor)

    def _obey(self, message: Message, descriptors: Sequence[int]) -> None:
        match message.get("do"):
            case "open":
                self._open(str(message["name"]), Site.of(message), descriptors[0])
            case "load":
                failed = self._load(message["modules"])
                frames.send(self._control, {"loaded": True, "failed": failed})
            case "kill":
                for pid, name in self._names.items():
                    if name == message["name"]:
                        os.kill(pid, signal.SIGKILL)

    def _open(self, name: str, site: Site, descriptor: int) -> None:
        try:
            pid = self._steps.fork(site)
        except OSError as error:
            frames.send(self._control, {"ended": name, "fault": str(error)})
            return
        if pid == 0:
            self._control.close()
            signal.set_wakeup_fd(-1)
            sandbox = socket.socket(fileno=os.dup(descriptor))
            os.close(descriptor)
            first.run(sandbox, self._steps, site, self._worker)
        self._names[pid] = name

    def _load(self, modules: Sequence[str]) -> list[str]:
        """Import modules, so that they are there in every sandbox; return those that failed."""
        failed = []
        for module in modules:
            try:
                importlib.import_module(module)
            except Exception:  # a library that cannot be imported is missed by its users only
                failed.append(module)
        self._worker.prepare()
        # What is here now is never looked at again, so that forks share its memory.
        gc.collect()
        gc.freeze()
        return failed

    def _reap(self) -> None:
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self._names.pop(pid, None)
            if name is not None:
                frames.send(self._control, {"ended": name})


def main() -> None:
    """Serve on the descriptor that the command line names."""
    control = socket.socket(fileno=int(sys.argv[1]))
    start, _ = frames.receive(control)
    steps = LEVELS[start["level"]](start["trees"], start["workspaces"])
    try:
        steps.enter()
    except OSError as error:
        frames.send(control, {"fault": str(error)})
        return
    os.environ.clear()
    os.environ.update(MPLCONFIGDIR=root.CACHE, MPLBACKEND="Agg", OPENBLAS_NUM_THREADS="1")
    frames.send(
        control, {"entered": steps.name, "promises": steps.promises(), "users": steps.first_user()}
    )
    try:
        Zygote(control, steps).serve()
    except (EOFError, OSError):
        return  # the server is gone; what was forked here goes with us


if __name__ == "__main__":
    main()
