"""Interfaces of the kernel that foreign code has no business with."""

from __future__ import annotations

from tests.redteam.attack import claims, python, shows
from tests.redteam.promises import Promise

COMPAT = """
import platform
if platform.machine() != 'x86_64':
    print('no second system call table here')
else:
    # mov eax, 26 (ptrace of i386); xor ebx, ebx (TRACEME); int 0x80; ret
    code = bytes.fromhex('53b81a00000031dbcd805bc3')
    page = libc.mmap(None, 4096, 7, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    def traced():
        if page in (None, 2 ** 64 - 1):
            raise OSError('no page to execute')
        ctypes.memmove(page, code, len(code))
        result = ctypes.CFUNCTYPE(ctypes.c_int)(page)()
        if result == 0:
            breached('an i386 system call went past the filter')
        else:
            print('answered', result)
    forked(traced)
"""

ATTACKS = (
    python(
        "io-uring",
        Promise.KERNEL,
        "fd = syscall('io_uring_setup', 1, ctypes.create_string_buffer(120))\n"
        "breached(f'has an io_uring, descriptor {fd}')",
        claims(),
        breaks_plain=True,
    ),
    python(
        "load-a-bpf-program",
        Promise.KERNEL,
        "attributes = struct.pack('IIIII', 2, 4, 4, 1, 0) + bytes(100)\n"
        "breached(f\"has a BPF map, descriptor {syscall('bpf', 0, attributes, 72)}\")",
        claims(),
    ),
    python(
        "user-fault-handling",
        Promise.KERNEL,
        "for flags in (0, 1):\n    try:\n"
        "        breached(f\"handles page faults, {syscall('userfaultfd', flags)}\")\n"
        "    except OSError as refusal:\n        print(refusal)\n",
        claims(),
        breaks_plain=True,
    ),
    python(
        "performance-events",
        Promise.KERNEL,
        """
attributes = struct.pack('IIQ', 1, 128, 0) + bytes(24) + struct.pack('Q', 0x61) + bytes(80)
fd = syscall('perf_event_open', attributes, 0, -1, -1, 0)
breached(f'measures the kernel, descriptor {fd}')
""",
        claims(),
    ),
    python(
        "new-user-namespace",
        Promise.KERNEL,
        """
def powerful():
    syscall('unshare', 0x10000000)
    effective = [l for l in Path('/proc/self/status').read_text().splitlines() if 'CapEff' in l]
    breached(f'has every capability in a namespace of its own: {effective}')
forked(powerful)
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "new-namespaces-by-clone3",
        Promise.KERNEL,
        """
arguments = struct.pack('11Q', 0x10000000 | 0x00020000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
child = syscall('clone3', arguments, len(arguments))
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
breached('clone3 made namespaces')
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "enter-namespaces-of-another-process",
        Promise.KERNEL,
        """
def enter():
    for pid in (DECOY_PID, NODE_PID, os.getppid(), 1):
        for name in ('mnt', 'net', 'pid', 'user'):
            try:
                fd = os.open(f'/proc/{pid}/ns/{name}', os.O_RDONLY)
                if os.readlink(f'/proc/{pid}/ns/{name}') != os.readlink(f'/proc/self/ns/{name}'):
                    syscall('setns', fd, 0)
                    breached(f'entered {name} of {pid}')
            except OSError as refusal:
                print(refusal)
        try:
            syscall('setns', os.pidfd_open(pid), 0x40000000)
            if pid == DECOY_PID: breached('entered the network of the host')
        except OSError as refusal:
            print(refusal)
forked(enter)
""",
        claims(),
    ),
    python(
        "the-new-mount-interface",
        Promise.KERNEL,
        "breached(f\"prepares a file system, {syscall('fsopen', b'tmpfs', 0)}\")",
        claims(),
    ),
    python(
        "load-a-module",
        Promise.KERNEL,
        """
fd = os.memfd_create('module')
os.write(fd, bytes(64))
try:
    syscall('finit_module', fd, b'', 0)
except OSError as refusal:
    if refusal.errno not in (errno.EPERM, errno.ENOSYS, errno.EACCES):
        breached(f'the kernel read a module: {refusal}')
""",
        claims(),
    ),
    python(
        "second-system-call-table",
        Promise.KERNEL,
        COMPAT,
        claims(),
    ),
    python(
        "sockets-of-rare-families",
        Promise.KERNEL,
        """
for name, family, kind in (('AF_ALG', 38, 5), ('AF_XDP', 44, 3), ('AF_TIPC', 30, 2),
                           ('AF_KEY', 15, 3), ('AF_RDS', 21, 5), ('AF_CAN', 29, 3),
                           ('AF_BLUETOOTH', 31, 3), ('AF_NFC', 39, 5), ('AF_QIPCRTR', 42, 2)):
    try:
        socket.socket(family, kind).close()
    except OSError:
        continue
    breached(f'has a socket of {name}')
""",
        claims(),
    ),
    python(
        "sockets-of-virtual-machines",
        Promise.NETWORK,
        """
caller = socket.socket(40, socket.SOCK_STREAM)
breached('has a socket to the machine that hosts this one')
""",
        claims(),
    ),
    python(
        "packets-as-they-pass",
        Promise.NETWORK,
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))\n"
        "breached('sees every packet')",
        claims(),
    ),
    python(
        "memory-of-the-kernel",
        Promise.KERNEL,
        """
for path in ('/proc/kcore', '/dev/mem', '/dev/kmem', '/dev/port', '/proc/kallsyms'):
    data = peek(path, 4096)
    if data and any(line.split()[0].strip(b'0') for line in data.splitlines()[:5] if line.split()):
        breached(f'{path} can be read')
""",
        claims(),
    ),
    python(
        "messages-of-the-kernel",
        Promise.KERNEL,
        """
buffer = ctypes.create_string_buffer(1 << 16)
size = syscall('syslog', 3, buffer, len(buffer))
breached(f'read {size} bytes of the kernel log')
""",
        claims(),
    ),
    python(
        "ports-of-the-machine",
        Promise.KERNEL,
        "if not hasattr(libc, 'ioperm'): raise OSError('no ports on this machine')\n"
        "check(libc.ioperm(ctypes.c_ulong(0x80), ctypes.c_ulong(1), 1))\n"
        "breached('talks to a port')",
        claims(),
    ),
    python(
        "capabilities-held",
        Promise.KERNEL,
        """
status = dict(l.split(':', 1) for l in Path('/proc/self/status').read_text().splitlines())
for name in ('CapEff', 'CapPrm', 'CapAmb'):
    if int(status[name], 16):
        breached(f'{name} is {status[name].strip()}')
""",
        claims(),
    ),
    python(
        "gain-privileges-by-exec",
        Promise.KERNEL,
        """
status = dict(l.split(':', 1) for l in Path('/proc/self/status').read_text().splitlines())
if status['NoNewPrivs'].strip() == '0':
    breached('set-uid programs would count')
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "no-filter-of-system-calls",
        Promise.KERNEL,
        """
status = dict(l.split(':', 1) for l in Path('/proc/self/status').read_text().splitlines())
if status['Seccomp'].strip() != '2':
    breached('every system call is allowed')
""",
        claims(),
    ),
    python(
        "no-filter-for-commands",
        Promise.KERNEL,
        """
done = subprocess.run(['cat', '/proc/self/status'], capture_output=True, text=True)
status = dict(l.split(':', 1) for l in done.stdout.splitlines())
if (status['Seccomp'].strip(), status['NoNewPrivs'].strip()) != ('2', '1'):
    breached('a child is less confined than its parent')
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "keyring-of-the-user",
        Promise.IPC,
        """
for ring in (-4, -5, -3):  # the user's, the user session's, the session's
    try:
        key = syscall('add_key', b'user', TOKEN.encode(), b'hidden', 6, ring)
        breached(f'keeps a key in keyring {ring} of the kernel: {key}')
        syscall('keyctl', 9, key, ring, 0, 0)
    except OSError as refusal:
        print(refusal)
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "realtime-priority",
        Promise.FAIRNESS,
        """
def hasten():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    breached('runs before everybody else')
forked(hasten)
""",
        claims(),
    ),
    python(
        "be-nicer-to-oneself",
        Promise.FAIRNESS,
        "os.setpriority(os.PRIO_PROCESS, 0, -10)\nos.setpriority(os.PRIO_PROCESS, 0, 0)\n"
        "breached('raised its own priority')",
        claims(),
    ),
    python(
        "be-spared-when-memory-is-short",
        Promise.MEMORY_LIMIT,
        "Path('/proc/self/oom_score_adj').write_text('-900')\n"
        "breached('others are killed in its place')",
        claims(),
    ),
    python(
        "files-past-the-filter-by-io-uring",
        Promise.FILES,
        """
params = ctypes.create_string_buffer(120)
ring = syscall('io_uring_setup', 4, params)
sq_head, sq_tail, sq_mask, _, _, _, array_at = struct.unpack_from('7I', params, 40)
cq_head, cq_tail, cq_mask, _, _, cqes = struct.unpack_from('6I', params, 80)
rings = mmap.mmap(ring, 4096, offset=0)
entries = mmap.mmap(ring, 4096, offset=0x10000000)
path = ctypes.create_string_buffer(HOST_FILE.encode())
entries[:64] = struct.pack('BBHiQQII', 18, 0, 0, -100, 0, ctypes.addressof(path), 0, 0) + bytes(32)
struct.pack_into('I', rings, array_at, 0)
struct.pack_into('I', rings, sq_tail, 1)
check(libc.syscall(426, ring, 1, 1, 1, None, 0))
result = struct.unpack_from('i', rings, cqes + 8)[0]
print('answered', result)
if result > 0:
    reveal(os.read(result, 4096))
""",
        shows("host_file"),
    ),
)
