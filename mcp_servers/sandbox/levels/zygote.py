"""The levels whose sandboxes are forked from a zygote: `namespaces`, `fallback` and `none`."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from mcp_servers.sandbox import plain
from mcp_servers.sandbox.confined import filters
from mcp_servers.sandbox.confined import site as sites
from mcp_servers.sandbox.confined.frames import Message
from mcp_servers.sandbox.confined.site import Site
from mcp_servers.sandbox.conversation import Conversation, Gone
from mcp_servers.sandbox.levels.base import Confinement, LevelFault

log = logging.getLogger(__name__)

PROGRAM = Path(sites.__file__).with_name("zygote.py")
START_S = 20.0
END_S = 5.0


class Forked:
    """The confined side of one sandbox.

    Args:
        control: The server's end of its socket.
        end_now: Has the zygote kill it.
    """

    def __init__(self, control: socket.socket, end_now: Callable[[], object]) -> None:
        self.control = control
        self._end_now = end_now
        self._ended = anyio.Event()
        self.gone = False

    async def wait_ended(self) -> None:
        """See Confinement."""
        await self._ended.wait()

    @property
    def ended(self) -> bool:
        """See Confinement."""
        return self._ended.is_set()

    def end_now(self) -> None:
        """See Confinement."""
        self._end_now()

    def note_end(self, *, seen: bool) -> None:
        """Note that it has ended, and whether the zygote saw that nothing of it is left."""
        self.gone = seen
        self._ended.set()


class Zygote:
    """A zygote's process, from its start to its end, and what was forked from it.

    Args:
        level: The level that it provides.
        process: The process.
        said: The conversation with it.
    """

    def __init__(self, level: str, process: subprocess.Popen[bytes], said: Conversation) -> None:
        self.ended = False
        self._level = level
        self._process = process
        self._said = said
        self._sandboxes: dict[str, Forked] = {}

    async def ask(self, message: Message) -> Message:
        """Send a message before `listen`, and wait for the answer.

        Raises:
            LevelFault: there is none, or it is a fault.
        """
        try:
            with anyio.fail_after(START_S):
                await self._said.send(message)
                answer = await self._said.receive()
        except (Gone, TimeoutError):
            raise LevelFault("its zygote did not start") from None
        if "fault" in answer:
            raise LevelFault(str(answer["fault"]))
        return answer

    async def tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message. `listen` sees to it if nobody hears."""
        try:
            await self._said.send(message, descriptors)
        except Gone:
            self.ended = True

    async def fork(self, name: str, site: Site, tasks: TaskGroup) -> Forked:
        """Fork a sandbox.

        Raises:
            LevelFault: the zygote has ended.
        """
        ours, theirs = socket.socketpair()
        kill = {"do": "kill", "name": name}
        sandbox = Forked(ours, lambda: tasks.start_soon(self.tell, kill))
        self._sandboxes[name] = sandbox
        message = {"do": "open", "name": name, **site.told()}
        with theirs:
            await self.tell(message, [theirs.fileno()])
        if self.ended:
            ours.close()
            self._sandboxes.pop(name, None)
            raise LevelFault("the zygote ended; try again")
        return sandbox

    def listen(self, tasks: TaskGroup) -> None:
        """Note which sandboxes ended, until the zygote does: then all have."""

        def note_end() -> None:
            log.info("the zygote of level %s ended", self._level)
            self.ended = True
            tasks.start_soon(self.end)

        self._said.listen(self._note, note_end)

    def _note(self, message: Message) -> None:
        sandbox = self._sandboxes.pop(str(message.get("ended")), None)
        if sandbox is not None:
            if "fault" in message:
                log.error("level %s forks no sandbox: %s", self._level, message["fault"])
            sandbox.note_end(seen=True)

    async def end(self) -> None:
        """End it, and with it everything that was forked from it. Safe to call twice."""
        self.ended = True
        self._said.close()
        with anyio.move_on_after(END_S):
            await anyio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)
        if self._process.poll() is None:
            self._process.kill()
            await anyio.to_thread.run_sync(self._process.wait)
        for sandbox in self._sandboxes.values():
            sandbox.note_end(seen=False)
        self._sandboxes.clear()


class ZygoteLevel:
    """A level that a zygote provides. It is started anew if it dies.

    Args:
        name: The level.
        workspaces: The folder that will hold the workspaces.
        modules: What to have loaded in every sandbox.
        tasks: Where to wait for what the zygote says.
    """

    def __init__(
        self, name: str, workspaces: Path, modules: Sequence[str], tasks: TaskGroup
    ) -> None:
        self.name = name
        self._workspaces = workspaces
        self._modules = list(modules)
        self._tasks = tasks
        self._promises: frozenset[str] = frozenset()
        self._first_user: int | None = None
        self._zygote: Zygote | None = None
        self._starting = anyio.Lock(fast_acquire=True)
        self._closed = False

    def promises(self) -> frozenset[str]:
        """See Level."""
        return self._promises

    def user_of(self, number: int) -> int:
        """See Level."""
        return os.getuid() if self._first_user is None else self._first_user + number

    async def start(self) -> None:
        """See Level."""
        await self._running()

    async def open(self, name: str, site: Site) -> Confinement:
        """See Level."""
        zygote = await self._running()
        return await zygote.fork(name, site, self._tasks)

    async def close(self) -> None:
        """See Level."""
        self._closed = True
        if self._zygote is not None:
            with anyio.CancelScope(shield=True):
                await self._zygote.end()

    async def _running(self) -> Zygote:
        async with self._starting:
            if self._closed:
                raise LevelFault("the server is ending")
            if self._zygote is None or self._zygote.ended:
                self._zygote = await self._start()
            return self._zygote

    async def _start(self) -> Zygote:
        ours, theirs = socket.socketpair()
        with theirs:
            process = _started(theirs.fileno())
        zygote = Zygote(self.name, process, Conversation(ours))
        start = {
            "filters": [program.hex() for program in _filters(self.name)],
            "level": self.name,
            "trees": sites.trees(),
            "workspaces": str(self._workspaces),
            "modules": self._modules,
            "plain": plain.MODULES,
        }
        try:
            entered = await zygote.ask(start)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await zygote.end()
            raise
        self._promises = frozenset(map(str, entered["promises"]))
        self._first_user = entered["users"]
        zygote.listen(self._tasks)
        return zygote


def _filters(level: str) -> list[bytes]:
    """Return a level's seccomp filters.

    Raises:
        LevelFault: libseccomp does not make them.
    """
    try:
        match level:
            case "namespaces":
                return [
                    filters.of_zygote(),
                    filters.of_first(),
                    filters.of_nursery(),
                    filters.of_worker(),
                ]
            case "fallback":
                return [filters.whole()]
    except OSError as error:
        raise LevelFault(f"libseccomp: {error}") from None
    return []


def _started(control: int) -> subprocess.Popen[bytes]:
    """Start the zygote. It inherits nothing but a socket: what is not there cannot be found."""
    return subprocess.Popen(
        [sys.executable, "-I", str(PROGRAM), str(control)],
        pass_fds=[control],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env={"LANG": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )
