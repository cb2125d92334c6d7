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
from typing import TYPE_CHECKING, NoReturn

from mcp_servers.sandbox.confined import children, frames, leader, proc
from mcp_servers.sandbox.confined.birth import Birth, Request
from mcp_servers.sandbox.confined.children import Children
from mcp_servers.sandbox.confined.frames import Message
from mcp_servers.sandbox.confined.site import Site
from mcp_servers.sandbox.confined.watch import Watch
from mcp_servers.sandbox.confined.worker import Worker

if TYPE_CHECKING:
    from mcp_servers.sandbox.confined.steps import Steps

SHELL = "/bin/bash"
_READY = frames.pack({"ready": True})


class Job:
    """Something that runs: the worker, or a command.

    Args:
        name: What the server calls it.
        pid: Its first process.
        asked: When it was asked for, in ticks since the machine started.

    Attributes:
        killed: Why it was ended, if it was.
    """

    def __init__(self, name: str, pid: int, asked: int) -> None:
        self.name = name
        self.pid = pid
        self.asked = asked
        self.killed = ""

    def since(self) -> int:
        """Return when it began, in ticks; when it was asked for if that cannot be told any more."""
        return proc.started(self.pid) or self.asked


class First:
    """Serves one sandbox until the server closes its end.

    Args:
        control: The server.
        steps: What to do on this level.
        site: The sandbox.
        worker: What runs Python; or how a nursery is asked for it.
    """

    def __init__(
        self, control: socket.socket, steps: Steps, site: Site, worker: Worker | Request
    ) -> None:
        self._control = control
        self._steps = steps
        self._site = site
        self._worker = worker
        self._jobs: dict[int, Job] = {}
        self._births: dict[int, Birth] = {}
        self._unheard: list[Birth] = []
        self._told: dict[int, int] = {}
        self._poll = select.poll()
        self._watch = Watch(
            site.limits, steps.folders(site), steps.trees, quick=steps.ends_with_first
        )

    def run(self) -> NoReturn:
        """Confine this process, serve, and end."""
        try:
            self._steps.confine(self._site)
        except BaseException:  # the server is told whatever it was
            frames.send(self._control, {"fault": traceback.format_exc(limit=-2)})
            os._exit(1)
        try:
            self._control.sendall(_READY)
            self._serve()
        except (EOFError, OSError):
            pass
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        self._end()
        os._exit(0)

    def _serve(self) -> None:
        """Obey until the server closes its end.

        Raises:
            EOFError: it did.
        """
        ended = Children()
        self._poll.register(ended.descriptor, select.POLLIN)
        self._poll.register(self._control, select.POLLIN)
        while True:
            wait = self._watch.wait_s(running=bool(self._jobs or self._unheard))
            ready = {fd for fd, _ in self._poll.poll(None if wait is None else wait * 1000)}
            if ended.descriptor in ready:
                for pid, code in ended.collect():
                    self._note_end(pid, code)
            for birth in ready & self._births.keys():
                self._attend(birth)
            if self._control.fileno() in ready:
                self._obey_next()
            if self._unheard and not self._watch.wait_s(running=True):
                self._hear()
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
                plain = bool(message.get("plain"))
                self._start(name, lambda: self._start_worker(name, descriptors[0], plain=plain))
            case "command":
                line = str(message["command"])
                self._start(name, lambda: self._start_command(line, descriptors))
            case "interrupt" | "kill" as what:
                self._hear()
                self._end_named(name, what)
            case "hear":
                self._hear()
            case "busy":
                self._hear()
                self._watch.attend()

    def _end_named(self, name: str, what: str) -> None:
        for birth in self._births.values():
            if birth.name == name and not birth.pid:
                birth.wanted.append(what)
                if what == "kill":
                    self._end_unborn()
        for job in [job for job in self._jobs.values() if job.name == name]:
            if what == "kill":
                self._kill(job, "asked")
            else:
                proc.kill_group(job.pid, signal.SIGINT)

    def _end_unborn(self) -> None:
        """End a worker that has not told its pid: what runs beside it may have stopped it."""
        for process in proc.all_processes().values():
            if process.parent == 0 and process.pid not in (proc.FIRST, *self._jobs):
                proc.kill(process.pid)

    def _start(self, name: str, start: Callable[[], int | None]) -> None:
        self._watch.begin()
        asked = proc.ticks()
        try:
            pid = start()
        except OSError as error:
            self._say({"job": name, "exit": 126, "fault": os.strerror(error.errno or 0)})
            return
        if pid is not None:
            self._jobs[pid] = Job(name, pid, asked)

    def _start_worker(self, name: str, descriptor: int, *, plain: bool) -> int | None:
        """Return the worker's process; None if a nursery will tell."""
        if isinstance(self._worker, Worker):
            return self._fork_worker(self._worker, descriptor)
        birth = self._worker.send(name, descriptor, plain=plain)
        self._births[birth.told] = birth
        self._unheard.append(birth)
        return None

    def _hear(self) -> None:
        """Listen to what a nursery tells of workers, which most sandboxes end before."""
        for birth in self._unheard:
            self._poll.register(birth.told, select.POLLIN)
        self._unheard.clear()
        for descriptor, _ in self._poll.poll(0):
            if descriptor in self._births:
                self._attend(descriptor)

    def _fork_worker(self, worker: Worker, descriptor: int) -> int:
        worker.draw_anew()
        pid = os.fork()
        if pid == 0:
            self._become_a_worker(worker, descriptor)
        return pid

    def _become_a_worker(self, worker: Worker, descriptor: int) -> NoReturn:
        try:
            leader.keep_only(descriptor)
            connection = socket.socket(fileno=descriptor)
            self._become_a_job()
        except BaseException:  # nothing of this may reach the loop that was forked
            traceback.print_exc()
            os._exit(children.ENDED_UNSEEN)
        worker.serve_to_the_end(connection)

    def _attend(self, descriptor: int) -> None:
        """Hear of a worker's birth or end."""
        birth = self._births[descriptor]
        match birth.hear():
            case "pid", pid:
                birth.pid = int(pid)
                self._jobs[birth.pid] = Job(birth.name, birth.pid, birth.asked)
                for what in birth.wanted:
                    self._end_named(birth.name, what)
            case "fault", why:
                birth.fault = why
            case "exit", code:
                self._bury(birth, descriptor, int(code))
            case _ if birth.fault:
                self._bury(birth, descriptor, children.ENDED_UNSEEN)
            case _:
                raise EOFError  # the nursery is gone, and nobody can tell how its workers ended

    def _bury(self, birth: Birth, descriptor: int, code: int) -> None:
        self._poll.unregister(birth.told)
        os.close(birth.told)
        del self._births[descriptor]
        if birth.pid:
            self._note_end(birth.pid, code)
        else:
            self._say({"job": birth.name, "exit": code, "fault": birth.fault})

    def _start_command(self, line: str, descriptors: Sequence[int]) -> int:
        """Return the shell's process. It says in a pipe what kept it from being executed.

        Raises:
            OSError: it cannot be forked.
        """
        told, teller = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become_a_command(line, descriptors, teller)
        os.close(teller)
        # Read when it has ended: what runs beside it may stop it before it is executed.
        self._told[pid] = told
        return pid

    def _become_a_command(self, line: str, descriptors: Sequence[int], teller: int) -> NoReturn:
        try:
            for target, descriptor in zip((1, 2), descriptors, strict=True):
                os.dup2(descriptor, target)
            self._become_a_job()
            leader.heed_all_signals()
            os.execv(SHELL, ["bash", "-c", line])
        except BaseException as error:  # nothing of this may reach the loop that was forked
            text = error.strerror if isinstance(error, OSError) else None
            os.write(teller, (text or str(error)).encode("utf-8", "backslashreplace"))
        os._exit(126)

    def _become_a_job(self) -> None:
        """Turn this fork into the leader of a session that foreign code may run in."""
        children.forget_for_good()
        leader.lead()
        leader.take_environment(*self._steps.folders(self._site))
        self._steps.confine_job(self._site)

    def _note_end(self, pid: int, code: int) -> None:
        told = self._told.pop(pid, None)
        fault = _rest(told) if told is not None else ""
        job = self._jobs.pop(pid, None)
        if job is not None:
            said = {"job": job.name, "exit": code, "killed": job.killed}
            self._say(said | {"fault": fault} if fault else said)

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
        since = job.since()
        others = {other.pid for other in self._jobs.values()} - {job.pid}
        for _ in range(50):
            found = proc.descendants(job.pid) | proc.orphans(since, job.pid, others)
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

    def _end(self) -> None:
        """End everything that runs; needed only where this is not process 1."""
        while not self._steps.ends_with_first and (found := proc.descendants(os.getpid())):
            for pid in found:
                proc.kill(pid)
            time.sleep(0.005)
            self._reap_orphans(set())

    def _say(self, message: Message) -> None:
        frames.send(self._control, message)


def _rest(pipe: int) -> str:
    """Return what was written to a pipe that nobody will write to again, and close it."""
    os.set_blocking(pipe, False)
    with open(pipe, encoding="utf-8", errors="replace") as file:
        return file.read()
