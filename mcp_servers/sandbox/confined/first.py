"""The first process of a sandbox: it starts jobs, watches them, and ends them. Never foreign code.

Where it is process 1 of its own process ids, nothing that it started can end it, and nothing of the
sandbox outlives it. The server talks to it over a socket (frames.py).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from mcp_servers.sandbox.confined import frames, proc
from mcp_servers.sandbox.confined.frames import Message
from mcp_servers.sandbox.confined.site import Site, environment
from mcp_servers.sandbox.confined.watch import Watch

if TYPE_CHECKING:
    from mcp_servers.sandbox.confined.steps import Steps
    from mcp_servers.sandbox.confined.worker import Worker

SHELL = "/bin/bash"
_RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD, signal.SIGTERM)


@dataclass(slots=True)
class Job:
    """Something that runs: the worker, or a command. `killed` says why it was ended, if it was."""

    name: str
    pid: int
    since: int
    killed: str = ""


class First:
    """Serves one sandbox until the server closes its end.

    Args:
        control: The server.
        steps: What to do on this level.
        site: The sandbox.
        worker: What runs Python.
    """

    def __init__(self, control: socket.socket, steps: Steps, site: Site, worker: Worker) -> None:
        self._control = control
        self._steps = steps
        self._site = site
        self._worker = worker
        self._jobs: dict[int, Job] = {}
        inside = steps.name == "namespaces"
        self._home = os.getcwd()
        self._temporary = "/tmp" if inside else f"{site.workspace}/tmp"
        self._environment = environment(self._home, self._temporary)
        self._watch = Watch(site.limits, (self._home, self._temporary), quick=inside)

    def serve(self) -> None:
        """Obey until the server closes its end.

        Raises:
            EOFError: it did.
        """
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            wait = self._watch.wait_s(bool(self._jobs))
            ready = {fd for fd, _ in poll.poll(None if wait is None else wait * 1000)}
            if woken in ready:
                os.read(woken, 4096)
                self._reap()
            if self._control.fileno() in ready:
                self._obey_next()
            if self._jobs:
                self._look()

    def _obey_next(self) -> None:
        message, descriptors = frames.receive(self._control)
        try:
            self._obey(message, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _obey(self, message: Message, descriptors: Sequence[int]) -> None:
        name = str(message.get("job", ""))
        match message.get("do"):
            case "python":
                self._start(name, lambda: self._fork_worker(descriptors[0]))
            case "command":
                line = str(message["command"])
                self._start(name, lambda: self._start_command(line, descriptors))
            case "interrupt":
                for job in self._named(name):
                    proc.kill_group(job.pid, signal.SIGINT)
            case "kill":
                for job in self._named(name):
                    self._kill(job, "asked")
            case "busy":
                self._watch.attend()

    def _named(self, name: str) -> list[Job]:
        return [job for job in self._jobs.values() if job.name == name]

    def _start(self, name: str, start: Callable[[], int]) -> None:
        self._watch.begin()
        try:
            pid = start()
        except OSError as error:
            self._say({"job": name, "exit": 126, "fault": os.strerror(error.errno or 0)})
            return
        except ValueError as error:  # the command holds what no argument can
            self._say({"job": name, "exit": 126, "fault": str(error)})
            return
        self._jobs[pid] = Job(name, pid, proc.started(pid))

    def _fork_worker(self, descriptor: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            connection = socket.socket(fileno=os.dup(descriptor))
            self._control.close()
            signal.set_wakeup_fd(-1)
            self._become_a_job()
            self._worker.serve(connection)
        except (EOFError, OSError):
            os._exit(0)  # the server closed its end
        except BaseException:  # nothing of this may reach the loop that was forked
            traceback.print_exc()
            os._exit(125)
        os._exit(0)

    def _start_command(self, line: str, descriptors: Sequence[int]) -> int:
        out, err = descriptors[:2]
        if self._steps.ends_with_first:
            return os.posix_spawn(
                SHELL,
                ["bash", "-c", line],
                self._environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, out, 1),
                    (os.POSIX_SPAWN_DUP2, err, 2),
                ],
                setsid=True,
                setsigdef=_RESET,
            )
        pid = os.fork()
        if pid:
            return pid
        try:
            os.dup2(out, 1)
            os.dup2(err, 2)
            self._become_a_job()
            os.execve(SHELL, ["bash", "-c", line], self._environment)
        except BaseException:  # nothing of this may reach the loop that was forked
            os._exit(126)

    def _become_a_job(self) -> None:
        """Turn this fork into the leader of a session that foreign code may run in."""
        os.setsid()
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.environ.clear()
        os.environ.update(self._environment)
        self._steps.confine_job(self._site)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self._jobs.pop(pid, None)
            if job is not None:
                code = os.waitstatus_to_exitcode(status)
                self._say({"job": job.name, "exit": code, "killed": job.killed})

    def _look(self) -> None:
        """Look at what runs, and end what takes too much."""
        verdict = self._watch.look()
        if verdict is None:
            return
        what, pid = verdict
        if pid:
            for job in self._jobs.values():
                if job.pid == pid or pid in proc.descendants(job.pid):
                    job.killed = what
            proc.kill(pid)
            return
        for job in list(self._jobs.values()):
            self._kill(job, what)

    def _kill(self, job: Job, why: str) -> None:
        """End a job, what it started, and the orphans that were born since it began."""
        job.killed = job.killed or why
        others = {other.pid for other in self._jobs.values()} - {job.pid}
        for _ in range(50):
            found = proc.descendants(job.pid) | proc.orphans(job.since, job.pid, others)
            for pid in found:
                proc.kill(pid)
            if not found:
                break
            self._reap_orphans(others | {job.pid})
        proc.kill_group(job.pid)
        proc.kill(job.pid)

    def _reap_orphans(self, but: set[int]) -> None:
        for pid in proc.children() - but:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue

    def end(self) -> None:
        """End everything that runs; needed only where this is not process 1."""
        while not self._steps.ends_with_first and (found := proc.descendants(os.getpid())):
            for pid in found:
                proc.kill(pid)
            time.sleep(0.005)
            self._reap_orphans(set())

    def _say(self, message: Message) -> None:
        frames.send(self._control, message)


def run(control: socket.socket, steps: Steps, site: Site, worker: Worker) -> NoReturn:
    """Become the first process of a sandbox, serve, and end."""
    try:
        steps.confine(site)
    except BaseException:  # the server is told whatever it was
        frames.send(control, {"fault": traceback.format_exc(limit=-2)})
        os._exit(1)
    first = First(control, steps, site, worker)
    try:
        frames.send(control, {"ready": True})
        first.serve()
    except (EOFError, OSError):
        pass
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    first.end()
    os._exit(0)
