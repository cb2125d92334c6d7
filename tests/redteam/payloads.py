"""What foreign code finds before it begins: facts, a few imports, and markers for its output."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

BEGAN = "attack-began"
ENDED = "attack-ended:"
BREACHED = "BREACHED:"

Facts = Mapping[str, str | int]

OWN_FAULTS = frozenset(
    [
        "SyntaxError",
        "NameError",
        "ImportError",
        "ModuleNotFoundError",
        "AttributeError",
        "TypeError",
        "KeyError",
        "IndexError",
        "IndentationError",
        "UnboundLocalError",
        "ArgumentError",
    ]
)
"""Errors by which an attack shows that it is badly written: the sandbox refused nothing."""

_X86 = {"add_key": 248, "keyctl": 250, "bpf": 321, "userfaultfd": 323, "perf_event_open": 298}
_X86 |= {"unshare": 272, "setns": 308, "finit_module": 313, "syslog": 103, "pidfd_getfd": 438}
_X86 |= {"io_uring_setup": 425, "clone3": 435, "fsopen": 430, "pidfd_open": 434, "prlimit64": 302}
_X86 |= {"ioprio_set": 251, "pidfd_send_signal": 424, "sched_setattr": 314}
_ARM = {"add_key": 217, "keyctl": 219, "bpf": 280, "userfaultfd": 282, "perf_event_open": 241}
_ARM |= {"unshare": 97, "setns": 268, "finit_module": 273, "syslog": 116, "pidfd_getfd": 438}
_ARM |= {"io_uring_setup": 425, "clone3": 435, "fsopen": 430, "pidfd_open": 434, "prlimit64": 261}
_ARM |= {"ioprio_set": 30, "pidfd_send_signal": 424, "sched_setattr": 274}
SYSCALLS = _X86 if os.uname().machine == "x86_64" else _ARM
"""Numbers of system calls that the C library does not offer, from the kernel's tables."""

PRELUDE = '''
import array, ctypes, errno, mmap, os, resource, signal, socket, struct, subprocess, sys
import threading, time
from pathlib import Path
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.mmap.restype = ctypes.c_void_p

def breached(what):
    """Claim success: the code itself saw that it was allowed what it must not do."""
    print("BREACHED:", what, flush=True)

def check(result):
    """Raise the OSError of a failed call of the C library."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def syscall(name, *arguments):
    """Make a system call by its name; integers are passed as longs."""
    longs = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return check(libc.syscall(ctypes.c_long(SYSCALLS[name]), *longs))

def processes():
    """Yield the folders in /proc of all processes that can be seen, without this one."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            yield f"/proc/{name}"

def peek(path, limit=1 << 20):
    """Return what a file holds; nothing if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            found = b""
            # Of a file of /proc each read gives a page.
            while len(found) < limit and (piece := file.read(limit - len(found))):
                found += piece
            return found
    except OSError as refusal:
        return b""

def reveal(data):
    """Print everything in some bytes that looks like a canary."""
    import re
    for found in sorted(set(re.findall(rb"canary-[a-z_]+-[0-9a-f]{16}", bytes(data)))):
        print(found.decode(), flush=True)

def forked(act):
    """Run a function in a child of its own, for at most ten seconds, and print what it prints."""
    inward, outward = os.pipe()
    child = os.fork()
    if child == 0:
        sys.stdout = os.fdopen(outward, "w")
        try:
            act()
        except BaseException as end:
            print("refused:", type(end).__name__, end)
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(outward)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(10)
    with os.fdopen(inward) as lines:
        print(lines.read(), flush=True)
    signal.alarm(0)
    os.waitpid(child, 0)
'''
"""Found by every Python attack."""


def python_prelude(facts: Facts) -> str:
    """Return code that defines the facts and what an attack may use."""
    lines = [f"{name} = {value!r}" for name, value in facts.items()]
    return "\n".join([*lines, f"SYSCALLS = {SYSCALLS!r}", PRELUDE])


def guarded(code: str) -> str:
    """Return code that runs an attack between the two markers."""
    return f"""print({BEGAN!r}, flush=True)
try:
    exec(compile({code!r}, "attack", "exec"), globals())
except BaseException as end:
    print({ENDED!r}, type(end).__name__, str(end)[:200], flush=True)
else:
    print({ENDED!r}, "None", flush=True)
"""


def guarded_command(line: str, facts: Facts) -> str:
    """Return a shell command that runs an attack after the marker, with facts as variables."""
    variables = "\n".join(f"{name}={_quoted(str(value))}" for name, value in facts.items())
    return f"{variables}\necho {BEGAN}\n{line}"


def fault_of_its_own(stdout: str) -> str | None:
    """Return the error by which an attack failed through its own fault, from its output."""
    ended = re.search(rf"^{ENDED} (\w+)(.*)$", stdout, re.MULTILINE)
    if ended is not None and ended[1] in OWN_FAULTS:
        return f"{ended[1]}{ended[2]}"
    return None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
