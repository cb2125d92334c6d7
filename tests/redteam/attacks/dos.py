"""Bombs: each within bounds that this machine survives, even where nothing stops it.

The limits tried are the defaults: 128 processes, 256 descriptors, 2 GiB of addresses, 1 GiB of
memory and of files, 20,000 files, 256 MiB a file, 64 sandboxes and 16 calls of an Owner.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median

from tests.redteam.attack import Attack, claims, python, steps
from tests.redteam.promises import Promise
from tests.redteam.scene import Scene

SLACK_S = 0.05
"""What a busy machine of two cores adds to any call: the ratio alone would judge the machine."""


def beside(name: str, code: str, *, shell: bool = False) -> Attack:
    """Return an attack that runs a bomb for some seconds while a neighbour's calls are timed."""

    @steps(name, Promise.FAIRNESS, on_plain=False)
    async def run(scene: Scene) -> str | None:
        before = await latency(scene)
        act = scene.command if shell else scene.python
        bomb = asyncio.create_task(act(code, timeout_s=6))
        # The bomb needs a moment to begin; it begins on other cores, so nothing tells when.
        await latency(scene, calls=3)
        during = await latency(scene)
        running = not bomb.done()
        await bomb
        if during > max(3 * before, before + SLACK_S):
            return f"a neighbour's call takes {during * 1000:.0f} ms, {before * 1000:.0f} before"
        assert running or during, "the neighbour was not measured"
        return None

    return run


async def latency(scene: Scene, calls: int = 15) -> float:
    """Return the median of a neighbour's calls in seconds; an hour for one that fails."""
    sandbox = str(scene.facts["NEIGHBOUR_ID"])
    taken = []
    for _ in range(calls):
        started = time.monotonic()
        reply = await scene.arena.neighbour.python(sandbox, "sum(range(1000))", 10)
        taken.append(3600.0 if reply.is_error else time.monotonic() - started)
    return median(taken)


@steps("more-sandboxes-than-allowed", Promise.ANSWERS, breaks_plain=True)
async def many_sandboxes(scene: Scene) -> str | None:
    """An Owner opens sandboxes without end; the neighbour can still open one."""
    opened = []
    for _ in range(80):
        reply = await scene.agent.call("create_sandbox", {})
        if reply.is_error:
            break
        opened.append(reply.text.split("sandbox_id: ")[1].split()[0])
    served = not (await scene.arena.neighbour.python("", "1")).is_error
    await asyncio.gather(*(scene.agent.close(sandbox) for sandbox in opened))
    if not served:
        return "the neighbour is no longer served"
    return f"{len(opened)} sandboxes" if len(opened) > 64 else None


@steps("more-calls-than-allowed", Promise.FAIRNESS, on_plain=False)
async def many_calls(scene: Scene) -> str | None:
    """An Owner keeps 60 calls running; the neighbour is served as before."""
    before = await latency(scene)
    code = "import time\ntime.sleep(4)"
    calls = [asyncio.create_task(scene.agent.python("", code, 8)) for _ in range(60)]
    await latency(scene, calls=3)
    during = await latency(scene)
    await asyncio.gather(*calls)
    slow = during > max(3 * before, before + SLACK_S)
    return f"{during * 1000:.0f} ms for {before * 1000:.0f} before" if slow else None


@steps("open-and-close-beside-a-neighbour", Promise.FAIRNESS, on_plain=False)
async def churn(scene: Scene) -> str | None:
    """Sandboxes opened and closed as fast as can be; the neighbour is served as before."""
    before = await latency(scene)

    async def turn() -> None:
        for _ in range(25):
            await scene.agent.close(await scene.agent.create())

    turns = [asyncio.create_task(turn()) for _ in range(4)]
    during = await latency(scene)
    await asyncio.gather(*turns)
    slow = during > max(3 * before, before + SLACK_S)
    return f"{during * 1000:.0f} ms for {before * 1000:.0f} before" if slow else None


@steps("use-up-what-the-kernel-counts-by-user", Promise.FAIRNESS, on_plain=False)
async def by_user(scene: Scene) -> str | None:
    """inotify instances and large pipes are counted for a user: the next sandbox has its own."""
    await scene.python(
        "import fcntl\nkept = []\n"
        "try:\n    while len(kept) < 200: kept.append(check(libc.inotify_init()))\n"
        "except OSError as refusal: print(len(kept), refusal)\npipes = []\n"
        "for _ in range(20):\n    pipes.append(os.pipe())\n"
        "    try: fcntl.fcntl(pipes[-1][1], 1031, 1 << 20)\n    except OSError: break"
    )
    other = await scene.open()
    await scene.python(
        "try: os.close(check(libc.inotify_init()))\n"
        "except OSError as refusal: breached(f'nothing is left for the next: {refusal}')\n"
        "ends = os.pipe()\nimport fcntl\n"
        "if fcntl.fcntl(ends[1], 1032) < 65536: breached('pipes of the next are small')",
        sandbox=other,
    )
    return claims()(scene)


FORKS = """
children = []
try:
    while len(children) < 150:
        child = os.fork()
        if child == 0:
            time.sleep(10)
            os._exit(0)
        children.append(child)
    breached(f'{len(children)} processes live')
finally:
    for child in children: os.kill(child, signal.SIGKILL)
    for child in children: os.waitpid(child, 0)
"""
HOLD = """
time.sleep(3)
breached(f'holds {held >> 20} MiB')
"""

ATTACKS = (
    python("fork-past-the-limit", Promise.PROCESS_LIMIT, FORKS, claims(), breaks_plain=True),
    python(
        "threads-past-the-limit",
        Promise.PROCESS_LIMIT,
        "threading.stack_size(65536)\ndone = threading.Event()\n"
        "threads = [threading.Thread(target=done.wait, daemon=True) for _ in range(150)]\n"
        "try:\n    for thread in threads: thread.start()\n"
        "    breached(f'{threading.active_count()} threads run')\nfinally: done.set()",
        claims(),
        breaks_plain=True,
    ),
    python(
        "processes-that-multiply-while-they-die",
        Promise.ENDS,
        "def multiply(depth):\n    while depth and time.monotonic() < end:\n"
        "        if os.fork(): os._exit(0)\n        depth -= 1\n"
        "end = time.monotonic() + 3\n"
        "for _ in range(20):\n    if os.fork() == 0: multiply(200); os._exit(0)\n"
        "time.sleep(1)\nprint('grown')",
        claims(),
    ),
    python(
        "addresses-past-the-limit",
        Promise.MEMORY_LIMIT,
        "address = libc.mmap(None, ctypes.c_size_t(3 << 30), 3, 0x4022, -1, 0)\n"
        "if address in (None, 2 ** 64 - 1): raise MemoryError('refused')\n"
        "breached('has 3 GiB of addresses')",
        claims(),
        breaks_plain=True,
    ),
    python(
        "memory-spread-over-children",
        Promise.MEMORY_LIMIT,
        """
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        signal.alarm(8)
        block = bytearray(400 << 20)
        for place in range(0, len(block), 4096): block[place] = 1
        time.sleep(6)
        os._exit(0)
    children.append(child)
time.sleep(5)
alive = [c for c in children if os.waitpid(c, os.WNOHANG) == (0, 0)]
for child in alive: os.kill(child, signal.SIGKILL)
if len(alive) == 4: breached('1.6 GiB live in four children')
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "memory-in-files-without-names",
        Promise.MEMORY_LIMIT,
        "files, held = [], 0\nblock = bytes(1 << 20)\nwhile held < 1600 << 20:\n"
        "    files.append(os.memfd_create('m'))\n"
        "    for _ in range(200): held += os.write(files[-1], block)\n" + HOLD,
        claims(),
        breaks_plain=True,
    ),
    python(
        "memory-in-segments-that-nobody-maps",
        Promise.MEMORY_LIMIT,
        """
segments, held = [], 0
try:
    while held < 1600 << 20:
        segments.append(check(libc.shmget(0, ctypes.c_size_t(200 << 20), 0o1600)))
        address = libc.shmat(segments[-1], None, 0)
        if address in (None, 2 ** 64 - 1): raise MemoryError('refused')
        ctypes.memset(address, 1, 200 << 20)
        libc.shmdt(ctypes.c_void_p(address))
        held += 200 << 20
    time.sleep(3)
    breached(f'holds {held >> 20} MiB in segments')
finally:
    for segment in segments: libc.shmctl(segment, 0, None)
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "memory-in-temporary-folders",
        Promise.MEMORY_LIMIT,
        """
held, names = 0, []
try:
    for folder in ('/dev/shm', '/run', '/dev', '/'):
        for number in range(8):
            name = f'{folder}/{TOKEN}-{number}'
            try:
                with open(name, 'wb', buffering=0) as file:
                    names.append(name)
                    for _ in range(200): held += file.write(bytes(1 << 20))
            except OSError as refusal:
                print(name, refusal)
                break
        if held >= 1600 << 20: break
    time.sleep(3)
    if held >= 1600 << 20: breached(f'holds {held >> 20} MiB')
finally:
    for name in names: os.unlink(name)
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "a-file-past-the-limit",
        Promise.DISK_LIMIT,
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with open('large', 'wb') as file: file.truncate(1 << 40)\n"
        "breached('has a file of a tebibyte')",
        claims(),
        breaks_plain=True,
    ),
    python(
        "more-bytes-than-the-quota",
        Promise.DISK_LIMIT,
        """
held = 0
for number in range(8):
    with open(f'part-{number}', 'wb', buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, 200 << 20)
    held += 200 << 20
time.sleep(3)
if sum(os.stat(f'part-{n}').st_blocks for n in range(8)) * 512 >= 1600 << 20:
    breached(f'keeps {held >> 20} MiB')
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "bytes-of-a-file-already-deleted",
        Promise.DISK_LIMIT,
        """
kept = []
for number in range(8):
    kept.append(os.open('gone', os.O_RDWR | os.O_CREAT))
    os.unlink('gone')
    os.posix_fallocate(kept[-1], 0, 200 << 20)
time.sleep(3)
if sum(os.fstat(fd).st_blocks for fd in kept) * 512 >= 1600 << 20:
    breached('keeps 1600 MiB under no name')
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "more-files-than-the-quota",
        Promise.DISK_LIMIT,
        "os.mkdir('many')\nfor n in range(26000):\n"
        "    os.close(os.open(f'many/{n}', os.O_CREAT | os.O_WRONLY))\n"
        "time.sleep(3)\nif len(os.listdir('many')) >= 26000: breached('keeps 26,000 files')",
        claims(),
        breaks_plain=True,
    ),
    python(
        "descriptors-past-the-limit",
        Promise.PROCESS_LIMIT,
        "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\n"
        "kept = [os.dup(0) for _ in range(2000)]\nbreached(f'holds {len(kept)} descriptors')",
        claims(),
        breaks_plain=True,
    ),
    python(
        "raise-one's-own-limits",
        Promise.PROCESS_LIMIT,
        """
for limit, more in ((resource.RLIMIT_NPROC, 4000), (resource.RLIMIT_AS, 8 << 30),
                    (resource.RLIMIT_NOFILE, 70000), (resource.RLIMIT_FSIZE, 8 << 30)):
    try:
        resource.setrlimit(limit, (more, more))
        breached(f'limit {limit} is now {more}')
    except (OSError, ValueError) as refusal:
        print(refusal)
""",
        claims(),
        breaks_plain=True,
    ),
    beside(
        "fork-bomb-beside-a-neighbour",
        "end = time.monotonic() + 5\nwhile time.monotonic() < end:\n    try:\n"
        "        if os.fork() == 0: end = min(end, time.monotonic() + 3)\n"
        "    except OSError: pass",
    ),
    beside(
        "busy-processes-beside-a-neighbour",
        "end = time.monotonic() + 5\nfor _ in range(40):\n    if os.fork() == 0: break\n"
        "while time.monotonic() < end: pass\nif os.getpid() != 1: time.sleep(0.1)",
    ),
    beside(
        "busy-threads-beside-a-neighbour",
        "for i in $(seq 24); do (timeout 5 sha256sum /dev/zero) & done; wait",
        shell=True,
    ),
    beside(
        "memory-churn-beside-a-neighbour",
        "end = time.monotonic() + 5\nwhile time.monotonic() < end:\n"
        "    block = mmap.mmap(-1, 500 << 20)\n"
        "    for place in range(0, len(block), 4096): block[place] = 1\n    block.close()",
    ),
    beside(
        "disk-churn-beside-a-neighbour",
        "end = time.monotonic() + 5\nblock = os.urandom(1 << 20)\nwhile time.monotonic() < end:\n"
        "    with open('churn', 'wb', buffering=0) as file:\n"
        "        for _ in range(100): file.write(block)\n        os.fsync(file.fileno())",
    ),
    beside(
        "output-flood-beside-a-neighbour",
        "timeout 5 yes " + "x" * 1000 + "; true",
        shell=True,
    ),
    many_sandboxes,
    many_calls,
    churn,
    by_user,
)
