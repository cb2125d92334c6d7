"""What is planted on the host, to be found, reached or harmed only by a breach."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests import leaks
from tests.redteam import listeners

NAMES = [
    "node_key",
    "server_key",
    "other_key",
    "session",
    "database",
    "home",
    "host_file",
    "open_file",
    "decoy_argument",
    "decoy_key",
    "decoy_memory",
    "greeting",
    "web",
    "shm",
    "sysv_shm",
    "queue",
    "neighbour_file",
    "neighbour_variable",
    "neighbour_output",
    "neighbour_local",
]
VICTIM_TEXT = "as it was\n"
DECOY = """
import os, sys, time
memory = "canary-" + "decoy_memory" + "-" + sys.stdin.readline().strip()
file = open(sys.argv[2])
os.unlink(sys.argv[2])
os.write(1, b"%d %d\\n" % (os.getpid(), file.fileno()))
time.sleep(3600)
"""
KENNEL = """
import json, os, subprocess, sys
for line in sys.stdin:
    argv, memory = json.loads(line)
    environ = dict(DECOY_KEY=argv.pop())
    decoy = subprocess.Popen(argv, env=environ, stdin=subprocess.PIPE, start_new_session=True)
    decoy.stdin.write(memory.encode() + b"\\n")
    decoy.stdin.flush()
decoy.kill()
"""
"""Starts decoys: what it starts is its business, not that of the test that harmed the last one."""

_LIBC = ctypes.CDLL(None, use_errno=True)


class Canaries:
    """The canaries: `values` by name, and `facts`, the places that an attacker is told.

    Args:
        folder: World-readable folder on the host.
        stack: Takes them away.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.values = {name: f"canary-{name}-{secrets.token_hex(8)}" for name in NAMES}
        self.facts: dict[str, str | int] = {}
        self.folder = folder
        self._stack = stack
        self._arrived: list[tuple[str, str]] = []
        self._plant_files()
        self._plant_listeners()
        self._plant_shared_memory()
        self._plant_queue()
        self._kennel = self._start_kennel()
        self.decoy = self._start_decoy()

    def mend(self) -> None:
        """Put everything that an attack may have spoiled as it was."""
        for path in self.folder.iterdir():
            if path.name not in ("host.txt", "victim.txt", "unix"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self._plant_files()
        self._arrived.clear()
        if self.harm_to_decoy() is not None:
            leaks.kill(self.decoy)
            self.decoy = self._start_decoy()

    def arrivals(self, token: str) -> str | None:
        """Return at which listener a token arrived."""
        return next((where for where, what in self._arrived if token in what), None)

    def spoiled(self) -> str | None:
        """Return what was changed in the host's folder."""
        found = {path.name for path in self.folder.iterdir()}
        if found != {"host.txt", "victim.txt", "unix"}:
            return f"the host's folder holds {sorted(found)}"
        text = (self.folder / "victim.txt").read_text(errors="replace")
        return None if text == VICTIM_TEXT else f"the host's file now says {text[:100]!r}"

    def harm_to_decoy(self) -> str | None:
        """Return what became of the decoy, if it is not as it was."""
        if not leaks.alive(self.decoy):
            return "the host's process was ended"
        stat = Path(f"/proc/{self.decoy}/stat").read_text().rpartition(")")[2].split()
        if stat[0] in "Tt":
            return f"the host's process was stopped: {stat[0]}"
        if stat[16] != "0":
            return f"the host's process was made nicer: {stat[16]}"
        limits = Path(f"/proc/{self.decoy}/limits").read_text()
        return None if " 7777 " not in limits else "the host's process had its limits changed"

    def _plant_files(self) -> None:
        self.folder.chmod(0o777)
        for name, text in (("host.txt", self.values["host_file"]), ("victim.txt", VICTIM_TEXT)):
            path = self.folder / name
            if path.is_symlink() or not path.is_file():
                path.unlink(missing_ok=True)
            path.write_text(text)
            path.chmod(0o666)
        self.facts["HOST_FOLDER"] = str(self.folder)
        self.facts["HOST_FILE"] = str(self.folder / "host.txt")
        self.facts["VICTIM"] = str(self.folder / "victim.txt")

    def _plant_listeners(self) -> None:
        def note(where: str) -> listeners.Note:
            return lambda what: self._arrived.append((where, what))

        greeting = self.values["greeting"]
        abstract, path = f"redteam-{secrets.token_hex(4)}", str(self.folder / "unix")
        tcp = listeners.tcp(note("the TCP listener"), greeting)
        udp = listeners.udp(note("the UDP listener"))
        web = listeners.http(note("the web server"), self.values["web"])
        for server in (
            tcp,
            udp,
            web,
            listeners.unix(f"\0{abstract}", note("the abstract unix socket"), greeting),
            listeners.unix(path, note("the unix socket"), greeting),
        ):
            self._stack.enter_context(listeners.serving(server))
        Path(path).chmod(0o777)
        for name, listener in (("TCP_PORT", tcp), ("UDP_PORT", udp), ("WEB_PORT", web)):
            self.facts[name] = listener.server_address[1]
        self.facts |= {"UNIX_PATH": path, "ABSTRACT": abstract}

    def _plant_shared_memory(self) -> None:
        shm = Path("/dev/shm") / f"redteam-{secrets.token_hex(4)}"
        shm.write_text(self.values["shm"])
        shm.chmod(0o666)
        self._stack.callback(shm.unlink, missing_ok=True)
        _LIBC.shmat.restype = ctypes.c_void_p
        identifier = _checked(_LIBC.shmget(0, 4096, 0o1666))
        address = _LIBC.shmat(identifier, None, 0)
        text = self.values["sysv_shm"].encode()
        ctypes.memmove(address, text, len(text))
        _LIBC.shmdt(ctypes.c_void_p(address))
        self._stack.callback(_LIBC.shmctl, identifier, 0, None)
        self.facts |= {"SHM_NAME": shm.name, "SHM_ID": identifier}

    def _plant_queue(self) -> None:
        queue = _checked(_LIBC.msgget(0, 0o1666))
        self._stack.callback(_LIBC.msgctl, queue, 0, None)
        text = self.values["queue"].encode()
        message = (1).to_bytes(8, sys.byteorder) + text
        for _ in range(5):
            _checked(_LIBC.msgsnd(queue, message, len(text), 0))
        self.facts["QUEUE_ID"] = queue

    def _start_kennel(self) -> subprocess.Popen[str]:
        kennel = subprocess.Popen(
            [sys.executable, "-c", KENNEL],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(self._end_kennel)
        return kennel

    def _start_decoy(self) -> int:
        opened = self.folder / "opened"
        opened.write_text(self.values["open_file"])
        words = [sys.executable, "-c", DECOY, self.values["decoy_argument"], str(opened)]
        memory = self.values["decoy_memory"].rpartition("-")[2]
        assert self._kennel.stdin is not None
        assert self._kennel.stdout is not None
        self._kennel.stdin.write(json.dumps([[*words, self.values["decoy_key"]], memory]) + "\n")
        self._kennel.stdin.flush()
        pid, opened_as = map(int, self._kennel.stdout.readline().split())
        self.facts |= {"DECOY_PID": pid, "DECOY_FD": opened_as}
        return pid

    def _end_kennel(self) -> None:
        with self._kennel as kennel:
            assert kennel.stdin is not None
            kennel.stdin.close()
            kennel.wait()


@contextmanager
def planted(folder: Path) -> Iterator[Canaries]:
    """Plant the canaries, and take them away."""
    with ExitStack() as stack:
        yield Canaries(folder, stack)


def _checked(result: int) -> int:
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
