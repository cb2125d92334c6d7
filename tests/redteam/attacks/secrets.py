"""For keys, wherever they may have been left."""

from __future__ import annotations

from tests.redteam.attack import Criterion, command, python, shows
from tests.redteam.promises import Promise

KEYS: tuple[Criterion, ...] = tuple(
    shows(name) for name in ("node_key", "server_key", "other_key", "neighbour_variable")
)
SCAN = """
for line in open('/proc/self/maps' if WHOSE is None else f'/proc/{WHOSE}/maps'):
    begin, end = (int(part, 16) for part in line.split()[0].split('-'))
    if ' rw' not in line or end - begin > 1 << 27 or '[v' in line:
        continue
    try:
        with open(f"/proc/{WHOSE or 'self'}/mem", 'rb', buffering=0) as memory:
            memory.seek(begin)
            reveal(memory.read(end - begin) or b'')
    except (OSError, OverflowError):
        continue
"""

ATTACKS = (
    python(
        "own-environment",
        Promise.SECRETS,
        "for name, value in os.environ.items(): reveal(value.encode())",
        *KEYS,
        breaks_plain=True,
    ),
    command(
        "environment-of-a-command", Promise.SECRETS, "env; set; export -p", *KEYS, breaks_plain=True
    ),
    python(
        "environment-at-birth",
        Promise.SECRETS,
        "reveal(peek('/proc/self/environ'))\nreveal(peek('/proc/1/environ'))",
        *KEYS,
        breaks_plain=True,
    ),
    python(
        "environment-block-on-the-stack",
        Promise.SECRETS,
        """
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')
index = 0
while environ and environ[index]:
    reveal(environ[index])
    index += 1
for line in open('/proc/self/maps'):
    if '[stack]' in line:
        begin, end = (int(part, 16) for part in line.split()[0].split('-'))
        reveal(ctypes.string_at(begin, end - begin))
""",
        *KEYS,
        breaks_plain=True,
    ),
    python(
        "environments-of-ancestors",
        Promise.SECRETS,
        """
pid = os.getppid()
while pid > 0:
    reveal(peek(f'/proc/{pid}/environ'))
    stat = peek(f'/proc/{pid}/stat').rpartition(b')')[2].split()
    pid = int(stat[1]) if stat else 0
""",
        *KEYS,
        breaks_plain=True,
    ),
    python("own-heap", Promise.SECRETS, "WHOSE = None\n" + SCAN, *KEYS, breaks_plain=True),
    python(
        "heaps-of-ancestors",
        Promise.SECRETS,
        "for WHOSE in (os.getppid(), 1):\n"
        "    try: exec(SCAN)\n    except OSError as refusal: print(refusal)".replace(
            "SCAN", repr(SCAN)
        ),
        *KEYS,
        breaks_plain=True,
    ),
    python(
        "objects-of-the-interpreter",
        Promise.SECRETS,
        """
import gc
for thing in gc.get_objects():
    for inner in gc.get_referents(thing):
        texts = inner.values() if isinstance(inner, dict) else [inner]
        for text in texts:
            if isinstance(text, str): reveal(text.encode(errors='replace'))
            elif isinstance(text, bytes): reveal(text)
""",
        *KEYS,
        breaks_plain=True,
    ),
    python(
        "frames-above",
        Promise.SECRETS,
        """
frames = list(sys._current_frames().values())
for frame in frames:
    while frame:
        for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
            try:
                reveal(repr(value)[:100000].encode(errors='replace'))
            except Exception:
                pass
        frame = frame.f_back
""",
        *KEYS,
    ),
    python(
        "the-node's-profile",
        Promise.SECRETS,
        "reveal(peek(PROFILE))",
        shows("other_key"),
        breaks_plain=True,
    ),
    command(
        "the-manager's-database",
        Promise.SECRETS,
        'cat "$DATABASE" "$DATABASE-wal" | grep -a -o "canary-[a-z_]*-[0-9a-f]*"; true',
        shows("session"),
    ),
    python(
        "home-of-the-server",
        Promise.SECRETS,
        "import pwd\nfor home in {os.path.expanduser('~'), pwd.getpwuid(os.getuid()).pw_dir,\n"
        "             PLATFORM_FOLDER}:\n    reveal(peek(home + '/.netrc'))",
        shows("home"),
        breaks_plain=True,
    ),
    python(
        "descriptors-inherited",
        Promise.SECRETS,
        """
for fd in range(3, 256):
    try:
        os.set_blocking(fd, False)
        reveal(os.pread(fd, 1 << 20, 0))
    except OSError:
        continue
""",
        *KEYS,
    ),
    python(
        "link-secret-guessed-from-an-id",
        Promise.SECRETS,
        """
import hmac, hashlib, gc
for thing in gc.get_objects():
    if isinstance(thing, (socket.socket, subprocess.Popen)):
        print('holds', thing)
for name in ('AGENTDOCK_SECRET', 'AGENTDOCK_HANDLE_PREFIX', 'AGENTDOCK_FILES_SOCKET'):
    if os.environ.get(name): print(name, os.environ[name])
reveal(b'')
""",
        lambda scene: (
            "AGENTDOCK_SECRET is in the environment"
            if any("a secret of this test only" in reply.raw for reply in scene.replies)
            else None
        ),
    ),
)
