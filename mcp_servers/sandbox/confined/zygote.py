"""The zygote: `python -I zygote.py FD`. It forks sandboxes, and the nurseries that fork workers.

It is started by the server with an empty environment and the one socket FD, and it is told nothing
but folders, limits and names of libraries: no secret is ever here, so none can be found in what is
forked from it. On the socket come `start`, `open` and `kill` (frames.py); it says when a sandbox
has ended. Where workers cannot join a sandbox, it loads the libraries itself.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

# -I leaves the project off the path, where foreign code shall not find it either.
sys.path.insert(0, str(Path(__file__).parents[3]))
from mcp_servers.sandbox.confined import children, frames, leader, libraries, nursery, root
from mcp_servers.sandbox.confined.birth import Nurseries, Request
from mcp_servers.sandbox.confined.children import Children
from mcp_servers.sandbox.confined.fallback import Fallback
from mcp_servers.sandbox.confined.first import First
from mcp_servers.sandbox.confined.frames import Message
from mcp_servers.sandbox.confined.namespaces import Namespaces
from mcp_servers.sandbox.confined.site import Site, limit_for_all
from mcp_servers.sandbox.confined.steps import Joining, Steps
from mcp_servers.sandbox.confined.unconfined import Unconfined
from mcp_servers.sandbox.confined.worker import Worker

del sys.path[0]

LEVELS: dict[str, Callable[[Sequence[str], str, Sequence[bytes]], Steps]] = {
    "namespaces": Namespaces,
    "fallback": Fallback,
    "none": Unconfined,
}


class Zygote:
    """Forks sandboxes until the server, or a nursery, is gone.

    Args:
        control: The server.
        steps: What to do on this level.
        modules: The libraries that workers have at hand.
        plain: The modules that those for plain code have.
    """

    def __init__(
        self, control: socket.socket, steps: Steps, modules: Sequence[str], plain: Sequence[str]
    ) -> None:
        self._control = control
        self._steps = steps
        self._names: dict[int, str] = {}
        self._nurseries: set[int] = set()
        self._worker: Worker | Nurseries
        modules = (*libraries.ALWAYS, *modules)
        worker = None
        if isinstance(steps, Joining):
            self._worker = Nurseries(
                self._start_nursery(steps, modules, libraries.ROOM),
                self._start_nursery(steps, plain, libraries.ROOM_OF_PLAIN),
            )
        else:
            self._worker = worker = libraries.loaded_worker(modules)
        self._fill = libraries.settle(worker)

    def _start_nursery(self, steps: Joining, modules: Sequence[str], room: int) -> socket.socket:
        asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            leader.keep_only(asked.fileno())
            nursery.run(asked, steps, modules, room)
        self._nurseries.add(pid)
        asked.close()
        return asking

    def serve(self) -> None:
        """Answer until the server closes its end, or a nursery has ended."""
        children.heed()
        ended = Children()
        poll = select.poll()
        poll.register(ended.descriptor, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor != ended.descriptor:
                    self._obey_next()
                    continue
                for pid, _ in ended.collect():
                    if pid in self._nurseries:
                        return
                    name = self._names.pop(pid, None)
                    if name is not None:
                        frames.send(self._control, {"ended": name})

    def _obey_next(self) -> None:
        try:
            message, descriptors = frames.receive(self._control)
        except frames.BadFrame:
            return
        try:
            self._obey(message, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _obey(self, message: Message, descriptors: Sequence[int]) -> None:
        match message.get("do"):
            case "open":
                self._open(str(message["name"]), Site.of(message), descriptors[0])
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
            self._become_first(site, descriptor)
        self._names[pid] = name

    def _become_first(self, site: Site, descriptor: int) -> NoReturn:
        try:
            os.close(self._control.fileno())  # what closes the object would cost a dozen pages
            children.forget()
            worker = self._worker
            request = worker if isinstance(worker, Worker) else Request(worker, site)
            First(socket.socket(fileno=descriptor), self._steps, site, request).run()
        except BaseException:  # nothing of this may reach the loop that was forked
            traceback.print_exc()
        os._exit(1)


def main() -> None:
    """Serve on the descriptor that the command line names."""
    control = socket.socket(fileno=int(sys.argv[1]))
    start, _ = frames.receive(control)
    steps = LEVELS[start["level"]](
        start["trees"], start["workspaces"], [bytes.fromhex(it) for it in start["filters"]]
    )
    try:
        limit_for_all()
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
        Zygote(control, steps, start["modules"], start["plain"]).serve()
    except (EOFError, OSError):
        return  # the server is gone; what was forked here goes with us


if __name__ == "__main__":
    main()
