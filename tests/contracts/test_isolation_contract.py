"""What a level of isolation promises, tried on every level that this machine can start.

Each level runs as a server of its own: as root if we are, and as an ordinary user.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from mcp import StdioServerParameters
from mcp.client.client import Client

from tests import leaks
from tests.fakes.ordinary_user import USER

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0
LEVELS = [
    ("namespaces", False),
    ("fallback", False),
    ("none", False),
    *([("namespaces", True), ("fallback", True)] if AS_ROOT else []),
]
"""Level, and whether it runs as root."""

CANARY = "canary-8852"

SPY = """
import glob, os
while not os.path.exists("over"):
    for path in glob.glob("/proc/[0-9]*/net/dev"):
        try:
            found = open(path).read()
        except OSError:
            continue
        if len(found.splitlines()) > 3:
            open("seen", "a").write(found)
    open("ready", "w")
"""

SEND = """
import os, socket
null = os.open(os.devnull, os.O_RDONLY)
pairs = [socket.socketpair() for _ in range(40)]
for sender, _ in pairs:
    socket.send_fds(sender, [b"1"], [null] * 20)
"""


@dataclass(frozen=True)
class Running:
    """A server on one level, with a sandbox that is opened there."""

    client: Client
    sandbox: str
    promises: frozenset[str]
    folder: Path

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        meta: Any = {"agentdock/owner": "me"}
        async with asyncio.timeout(60):
            result = await self.client.call_tool(tool, arguments, meta=meta)
        assert not result.is_error, result
        return dict(result.structured_content or {})

    async def python(self, code: str, timeout_s: float = 20) -> dict[str, Any]:
        return await self.call(
            "run_python_code", code_block=code, sandbox_id=self.sandbox, timeout_s=timeout_s
        )

    async def command(self, line: str, timeout_s: float = 20) -> dict[str, Any]:
        return await self.call(
            "run_command", command=line, sandbox_id=self.sandbox, timeout_s=timeout_s
        )

    def demand(self, promise: str) -> None:
        """Go on only if the level promises this."""
        if promise not in self.promises:
            pytest.skip(f"the level does not promise: {promise}")


async def _hold(
    level: str, as_root: bool, folder: Path, begun: asyncio.Future[Running], over: asyncio.Event
) -> None:
    command = [sys.executable, "-m", "mcp_servers.sandbox"]
    if AS_ROOT and not as_root:
        command = [sys.executable, str(ROOT / "tests/fakes/ordinary_user.py"), *command]
    env = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(folder),
        "SANDBOX_LEVEL": level,
        "SANDBOX_PRELOAD": "json",
        "PLANTED_KEY": CANARY,
    }
    server = StdioServerParameters(command=command[0], args=command[1:], cwd=ROOT, env=env)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(server))
        meta: Any = {"agentdock/owner": "me"}
        result = await client.call_tool("create_sandbox", {}, meta=meta)
        fields = dict(result.structured_content or {})
        assert fields["level"] == level
        begun.set_result(
            Running(client, fields["sandbox_id"], frozenset(fields["promises"]), folder)
        )
        await over.wait()


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=LEVELS,
    ids=lambda it: f"{it[0]}-{'as-root' if it[1] else 'as-a-user'}",
)
async def level(
    request: pytest.FixtureRequest,
) -> AsyncIterator[Running]:
    name, as_root = request.param
    # Not below pytest's own folder, which it closes to other users again and again.
    folder = Path(tempfile.mkdtemp(prefix="isolation-"))
    if AS_ROOT and not as_root:
        os.chown(folder, USER, USER)
    begun: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()
    holding = asyncio.create_task(_hold(name, as_root, folder, begun, over))
    holding.add_done_callback(lambda task: begun.done() or begun.cancel(str(task)))
    yield await begun
    over.set()
    await holding
    shutil.rmtree(folder)


@pytest.fixture
def hosts_file() -> Iterator[Path]:
    """A file of the host that anybody may read and change."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        path = Path(folder, "canary")
        path.write_text(CANARY)
        path.chmod(0o666)
        yield path
        assert path.read_text() == CANARY


async def test_code_and_commands_run_and_share_files(level: Running) -> None:
    await level.python("x = 41\nopen('note', 'w').write('kept')")
    assert (await level.python("x + 1"))["results"] == ["42"]
    assert (await level.command("cat note; exit 3"))["stdout"] == "kept"
    assert (await level.command("exit 3"))["exit_code"] == 3


async def test_an_interrupt_and_a_kill_leave_the_sandbox_alive(level: Running) -> None:
    late = await level.python("while True: pass", 0.5)
    assert late["error_kind"] == "timeout"
    deaf = "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass"
    assert (await level.python(deaf, 0.5))["exit_code"] == 137
    assert (await level.command("sleep 30", 0.5))["error_kind"] == "timeout"
    assert (await level.python("6 * 7"))["results"] == ["42"]


async def test_no_file_of_the_host_is_read_or_changed(level: Running, hosts_file: Path) -> None:
    level.demand("files")
    done = await level.command(f"cat {hosts_file}; echo changed > {hosts_file}; rm -f {hosts_file}")
    assert CANARY not in done["stdout"]
    done = await level.python(f"open({str(ROOT / 'pyproject.toml')!r})")
    assert done["error_kind"] == "exception"


async def test_no_key_is_found(level: Running) -> None:
    level.demand("secrets")
    done = await level.command("cat /proc/*/environ /proc/*/cmdline 2>/dev/null; env; set")
    assert CANARY not in done["stdout"].replace("\0", "")


async def test_no_address_is_reached(level: Running) -> None:
    level.demand("network")
    with socket.create_server(("127.0.0.1", 0)) as listener, listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        await level.command(f"exec 3<>/dev/tcp/127.0.0.1/{port}")
        await level.python(
            "import socket\n"
            f"for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
            f"    socket.socket(socket.AF_INET, kind).connect(('127.0.0.1', {port}))"
        )
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_no_network_is_seen_of_a_worker_that_is_being_born(level: Running) -> None:
    level.demand("network")
    level.demand("processes")
    await level.command(f"touch seen; python3 -c {shlex.quote(SPY)} >spy.log 2>&1 &")
    await level.command("until [ -e ready ]; do sleep 0.05; done")
    for _ in range(30):
        await level.python("import os; os._exit(0)")
    assert (await level.command("touch over; cat seen spy.log"))["stdout"] == ""


async def test_no_process_outside_is_ended(level: Running) -> None:
    level.demand("signals")
    victim = await asyncio.create_subprocess_exec("sleep", "60", user=USER if AS_ROOT else None)
    try:
        await level.command(f"kill -9 {victim.pid}; kill -9 -1")
        assert victim.returncode is None
        assert leaks.alive(victim.pid)
    finally:
        victim.kill()
        await victim.wait()
    assert (await level.python("6 * 7"))["results"] == ["42"]


async def test_no_process_outside_is_seen(level: Running) -> None:
    level.demand("processes")
    done = await level.python("import os\nsum(name.isdigit() for name in os.listdir('/proc'))")
    assert int(done["results"][0]) < 10


async def test_abstract_sockets_and_shared_memory_are_apart(level: Running) -> None:
    level.demand("ipc")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{CANARY}")
        listener.listen()
        done = await level.python(
            f"import socket\nsocket.socket(socket.AF_UNIX).connect('\\0{CANARY}')"
        )
    assert done["error"]["name"] in ("ConnectionRefusedError", "PermissionError")


@pytest.mark.parametrize(
    "act",
    [
        "libc.unshare(0x10000000)",
        "libc.ptrace(16, os.getppid(), 0, 0)",
        "libc.syscall(425, 8, 0)",  # io_uring_setup, on every machine
        "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        "libc.personality(0x0040000)",
    ],
)
async def test_powerful_calls_are_refused(act: str, level: Running) -> None:
    level.demand("kernel")
    code = (
        f"import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n({act}, ctypes.get_errno())"
    )
    assert (await level.python(code))["results"] == ["(-1, 1)"]


async def test_processes_are_limited(level: Running) -> None:
    level.demand("process_limit")
    code = (
        "import os, signal\nmade = []\ntry:\n    for _ in range(200):\n"
        "        made.append(os.fork())\n        if not made[-1]: signal.pause()\n"
        "finally:\n    for pid in made: os.kill(pid, 9)\n    for pid in made: os.waitpid(pid, 0)"
    )
    assert (await level.python(code, 50))["error"]["name"] == "BlockingIOError"


async def test_memory_is_limited_for_all_processes_together(level: Running) -> None:
    level.demand("memory_limit")
    hog = "python3 -c 'x = bytearray(500 << 20); input()' < <(sleep 60)"
    done = await level.command(f"for i in 1 2 3; do {hog} & done; wait -n", 50)
    assert "Killed" in done["stderr"] or done["exit_code"] == 137


async def test_disk_is_limited(level: Running) -> None:
    level.demand("disk_limit")
    done = await level.command("for i in $(seq 7); do fallocate -l 200M f-$i; done; sleep 30")
    assert done["error_kind"] == "killed"
    await level.command("rm -f f-*")


async def test_nothing_outlives_the_sandbox(level: Running) -> None:
    level.demand("ends")
    fields = await level.call("create_sandbox")
    await level.call(
        "run_command",
        sandbox_id=fields["sandbox_id"],
        command="setsid bash -c 'trap \"\" INT TERM HUP; exec -a outlives-9917 sleep 61' &",
    )
    async with asyncio.timeout(5):
        while not _running("outlives-9917"):  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.02)
    await level.call("close_sandbox", sandbox_id=fields["sandbox_id"])
    assert not _running("outlives-9917")


async def test_two_sandboxes_are_apart(level: Running) -> None:
    level.demand("files")
    await level.python("open('mine', 'w').write('secret-of-one')\nopen('/tmp/x', 'w')")
    other = await level.call("create_sandbox")
    seen = await level.call(
        "run_command",
        sandbox_id=other["sandbox_id"],
        command="find / -name mine 2>/dev/null; ls -A ~ ; cat ../*/home/mine ../../*/home/mine",
    )
    assert (seen["stdout"]) == ""
    await level.call("close_sandbox", sandbox_id=other["sandbox_id"])


def _running(token: str) -> bool:
    return any(leaks.command(pid).startswith(token) for pid in leaks.descendants())


async def test_python_begins_while_another_sandbox_has_descriptors_in_sockets(
    level: Running,
) -> None:
    level.demand("network")
    await level.python(SEND)
    begun = await level.call("run_python_code", code_block="1 + 1")
    assert begun["results"] == ["2"]


async def test_no_settings_and_no_service_below_usr_are_read(level: Running) -> None:
    level.demand("files")
    seen = await level.command("ls -A /usr/src /usr/local/src /usr/local/etc | grep -v ':$'")
    assert seen["stdout"].strip() == ""


async def test_the_kernel_ends_sandboxes_first_when_memory_is_short(level: Running) -> None:
    level.demand("processes")  # else there is no /proc to see it in
    assert (await level.command("cat /proc/self/oom_score_adj"))["stdout"] == "1000\n"


async def test_a_home_that_its_code_closed_is_deleted_with_the_sandbox(level: Running) -> None:
    made = await level.call("create_sandbox")
    box = made["sandbox_id"]
    before = set(level.folder.glob("*/sandboxes/*/home"))
    await level.call("run_command", command="touch f; chmod 000 $HOME $TMPDIR", sandbox_id=box)
    await level.call("close_sandbox", sandbox_id=box)
    assert len(set(level.folder.glob("*/sandboxes/*/home"))) == len(before) - 1
