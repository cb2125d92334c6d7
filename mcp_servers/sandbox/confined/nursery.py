"""A nursery: a process with libraries loaded, whose forks join sandboxes as workers.

Sandboxes' first processes are forked from the zygote, which is small, and ask here for a worker
(birth.py): what is forked twice for each sandbox is large only once. There are two: plain code gets
its worker from one that is small itself.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from mcp_servers.sandbox.confined import descriptors, leader, libraries, linux, memory
from mcp_servers.sandbox.confined.birth import DESCRIPTORS, MAX_MESSAGE, limits_of, tell
from mcp_servers.sandbox.confined.children import ENDED_UNSEEN
from mcp_servers.sandbox.confined.steps import Joining

if TYPE_CHECKING:
    from mcp_servers.sandbox.confined.worker import Worker

FORKS_UNTIL_GATHERED = 500


class Nursery:
    """Forks workers until whoever asks is gone.

    Args:
        asked: Where the requests come.
        steps: What to do on this level.
        worker: What it forks, the libraries loaded.
    """

    def __init__(self, asked: socket.socket, steps: Joining, worker: Worker) -> None:
        self._asked = asked
        self._steps = steps
        self._worker = worker
        self._poll = select.epoll()
        self._workers: dict[int, tuple[int, int]] = {}
        self._forks = 0

    def serve(self) -> None:
        """Answer until nobody can ask any more."""
        self._poll.register(self._asked, select.EPOLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._workers:
                    self._collect(descriptor)
                elif not self._answer():
                    return  # the zygote is gone

    def _answer(self) -> bool:
        request, found = descriptors.receive(self._asked, MAX_MESSAGE, DESCRIPTORS)
        if len(found) != DESCRIPTORS:  # the zygote is gone, or there is no room for them
            for descriptor in found:
                os.close(descriptor)
            return bool(request)
        connection, told, *spaces = found
        try:
            self._fork(request, connection, told, spaces)
        except OSError as error:
            tell(told, "fault", error)
            os.close(told)
        finally:
            os.close(connection)
            for space in spaces:
                os.close(space)
        return True

    def _fork(self, request: bytes, connection: int, told: int, spaces: Sequence[int]) -> None:
        """Fork a worker.

        Raises:
            OSError: none can be forked, or waited for.
        """
        self._worker.draw_anew()
        pid = self._steps.fork_beside(spaces)
        if pid == 0:
            self._serve_as_worker(request, connection, told, spaces)
        try:
            # Not by SIGCHLD: its handler would have to be taken from each fork.
            process = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._poll.register(process, select.EPOLLIN)
        self._workers[process] = pid, told
        self._forks += 1
        if self._forks % FORKS_UNTIL_GATHERED == 0:
            # Each fork breaks up the pages that are written to afterwards.
            memory.gather()

    def _collect(self, process: int) -> None:
        """Tell how a worker ended."""
        pid, told = self._workers.pop(process)
        self._poll.unregister(process)
        os.close(process)
        _, status = os.waitpid(pid, 0)
        tell(told, "exit", os.waitstatus_to_exitcode(status))
        os.close(told)

    def _serve_as_worker(
        self, request: bytes, connection: int, told: int, spaces: Sequence[int]
    ) -> NoReturn:
        try:
            # The others' would count among those that it may have open.
            leader.keep_only(connection, told, *spaces)
            self._steps.join(spaces)
            leader.lead()
            self._steps.confine_worker(limits_of(request))
            server = socket.socket(fileno=connection)
            # Not inherited: the nursery is not to be ended before others.
            linux.set_dumpable(True)
            linux.end_first_when_memory_is_short()
            tell(told, "pid", os.getpid())
            for descriptor in (told, *spaces):
                os.close(descriptor)
        except BaseException:  # nothing of this may reach the loop that was forked
            tell(told, "fault", traceback.format_exc(limit=-2))
            os._exit(ENDED_UNSEEN)
        self._worker.serve_to_the_end(server)


def run(asked: socket.socket, steps: Joining, modules: Sequence[str], room: int) -> NoReturn:
    """Become a nursery, in a fork of the zygote; see libraries.loaded_worker."""
    try:
        worker = libraries.loaded_worker(modules, room)
        leader.take_environment(steps.home, steps.temporary)
        # In its sandbox a fork is seen before it is confined; nobody may look into it.
        steps.confine_nursery()
        fill = libraries.settle(worker)
        Nursery(asked, steps, worker).serve()
        del fill  # not before, or there would be gaps again
    except BaseException:  # nothing of this may reach the loop that was forked
        traceback.print_exc()
    os._exit(1)
