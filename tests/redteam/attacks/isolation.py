"""At processes, shared memory, queues and keys of the host."""

from __future__ import annotations

from tests.redteam.attack import arrives, claims, command, harms, python, shows
from tests.redteam.promises import Promise

ATTACKS = (
    command(
        "see-command-lines",
        Promise.PROCESSES,
        "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -a canary; true",
        shows("decoy_argument"),
        breaks_plain=True,
    ),
    python(
        "kill-a-host-process",
        Promise.SIGNALS,
        "os.kill(DECOY_PID, signal.SIGKILL)\ntime.sleep(0.1)",
        harms(),
        breaks_plain=True,
    ),
    python(
        "stop-a-host-process-by-pidfd",
        Promise.SIGNALS,
        "signal.pidfd_send_signal(os.pidfd_open(DECOY_PID), signal.SIGSTOP)\ntime.sleep(0.1)",
        harms(),
        breaks_plain=True,
    ),
    python(
        "signal-by-a-file's-owner",
        Promise.SIGNALS,
        """
import fcntl
read, write = os.pipe()
fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
fcntl.fcntl(read, 10, signal.SIGKILL)  # F_SETSIG
fcntl.fcntl(read, fcntl.F_SETOWN, DECOY_PID)
os.write(write, b'x')
time.sleep(0.2)
""",
        harms(),
        breaks_plain=True,
    ),
    python(
        "kill-everything",
        Promise.PROCESSES,
        """
if os.readlink('/proc/self/ns/pid') == HOST_PID_NS:
    breached('the processes of the host are in reach')
else:
    def all_of_them():
        os.kill(-1, signal.SIGKILL)
    forked(all_of_them)
""",
        claims(),
        harms(),
        on_plain=False,
    ),
    python(
        "renice-a-host-process",
        Promise.SIGNALS,
        "os.setpriority(os.PRIO_PROCESS, DECOY_PID, 19)",
        harms(),
        breaks_plain=True,
    ),
    python(
        "change-limits-of-a-host-process",
        Promise.SIGNALS,
        "resource.prlimit(DECOY_PID, resource.RLIMIT_CORE, (7777, 7777))",
        harms(),
    ),
    python(
        "trace-a-host-process",
        Promise.SIGNALS,
        """
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(0x4206, DECOY_PID, None, None) == 0:  # PTRACE_SEIZE
    breached('traces a process of the host')
    libc.ptrace(17, DECOY_PID, None, None)
else:
    print('refused:', os.strerror(ctypes.get_errno()))
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "read-memory-of-a-host-process",
        Promise.SECRETS,
        """
class Span(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
for line in open(f'/proc/{DECOY_PID}/maps'):
    begin, end = (int(part, 16) for part in line.split()[0].split('-'))
    if ' rw' not in line or end - begin > 1 << 26:
        continue
    buffer = ctypes.create_string_buffer(end - begin)
    here, there = Span(ctypes.addressof(buffer), end - begin), Span(begin, end - begin)
    libc.process_vm_readv(DECOY_PID, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    reveal(buffer.raw)
""",
        shows("decoy_memory"),
        breaks_plain=True,
    ),
    python(
        "steal-a-descriptor",
        Promise.FILES,
        "fd = syscall('pidfd_getfd', os.pidfd_open(DECOY_PID), DECOY_FD, 0)\n"
        "reveal(os.pread(fd, 100, 0))",
        shows("open_file"),
        breaks_plain=True,
    ),
    python(
        "abstract-unix-socket",
        Promise.IPC,
        "caller = socket.socket(socket.AF_UNIX)\ncaller.connect('\\0' + ABSTRACT)\n"
        "caller.sendall(TOKEN.encode())\nreveal(caller.recv(100))",
        arrives(),
        shows("greeting"),
        breaks_plain=True,
    ),
    python(
        "unix-socket-in-a-folder",
        Promise.IPC,
        "caller = socket.socket(socket.AF_UNIX)\n"
        "os.symlink(UNIX_PATH, 'near')\ncaller.connect('near')\n"
        "caller.sendall(TOKEN.encode())\nreveal(caller.recv(100))",
        arrives(),
        shows("greeting"),
        breaks_plain=True,
    ),
    python(
        "system-v-shared-memory",
        Promise.IPC,
        "address = libc.shmat(SHM_ID, None, 0o10000)\n"
        "if address not in (None, 2 ** 64 - 1): reveal(ctypes.string_at(address, 4096))",
        shows("sysv_shm"),
        breaks_plain=True,
    ),
    python(
        "system-v-message-queue",
        Promise.IPC,
        "buffer = ctypes.create_string_buffer(8200)\n"
        "check(libc.msgrcv(QUEUE_ID, buffer, 8192, 0, 0o4000))\nreveal(buffer.raw)",
        shows("queue"),
        breaks_plain=True,
    ),
    python(
        "posix-shared-memory",
        Promise.IPC,
        "reveal(peek('/dev/shm/' + SHM_NAME))\nprint(os.listdir('/dev/shm'))",
        shows("shm"),
        breaks_plain=True,
    ),
    python(
        "host's-system-v-tables",
        Promise.IPC,
        "for kind in ('shm', 'msg'):\n"
        "    for line in Path('/proc/sysvipc/' + kind).read_text().splitlines()[1:]:\n"
        "        if int(line.split()[1]) in (SHM_ID, QUEUE_ID): breached('sees ' + line)",
        claims(),
        breaks_plain=True,
    ),
    python(
        "environments-of-all",
        Promise.SECRETS,
        "for folder in processes(): reveal(peek(folder + '/environ'))",
        shows("node_key"),
        shows("server_key"),
        shows("other_key"),
        shows("decoy_key"),
        breaks_plain=True,
    ),
)
