"""The file system that sandboxes see: the machine's programs, read-only; nothing of its data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mcp_servers.sandbox.confined import linux
from mcp_servers.sandbox.confined.site import HOME, NO_PROGRAMS, USER

WORKSPACES = "/run/workspaces"
"""Where the zygote sees the sandboxes' folders; a sandbox sees an empty folder there."""

TREES = "/run/trees"
"""Where folders of the interpreter are shown once more that sandboxes cover."""

CACHE = "/var/cache/agentdock"
"""Where the zygote writes what libraries keep, such as a list of fonts."""

_STAGE = "/tmp"
"""What the new root is mounted upon until it is the root; any folder would do."""

_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    "alternatives",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates.conf",
    "timezone",
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_FOLDERS = (
    "dev/shm",
    "etc",
    "home/user",
    "proc",
    "root",
    "run/workspaces",
    "sys",
    "tmp",
    "var/tmp",
)
_SMALL = "size=4m,mode=755"
_READ = linux.READ_ONLY | linux.NO_SUID | linux.NO_DEV

_NO_PIP = "/var/no-pip"
_PIP = """\
#!/usr/bin/env python3
import sys
sys.exit("pip: packages cannot be installed in this sandbox: it has no network. "
         "`python3 -c 'help(\\"modules\\")'` lists what is there.")
"""
_ETC = {
    "passwd": f"root:x:0:0::/root:/bin/sh\nuser:x:{USER}:{USER}::{HOME}:/bin/bash\n",
    "group": f"root:x:0:\nuser:x:{USER}:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "hostname": "sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "",
}


def build(trees: Sequence[str], covered: Mapping[str, str], workspaces: str) -> None:
    """Make the root in a mount namespace of our own, and move there.

    Args:
        trees: Folders beside the machine's programs that are shown, at their own paths.
        covered: Those of them that sandboxes will cover, by where they are shown once more.
        workspaces: The folder that holds the sandboxes' folders.

    Raises:
        OSError: the kernel refused.
    """
    linux.mount(None, "/", None, linux.RECURSIVE | linux.PRIVATE)
    # Held by descriptor: the stage may lie upon what is still to be shown.
    shown = {path: _held(path) for path in (*_what_is_shown(), *trees)}
    kept = _held(workspaces)
    links = {path: os.readlink(path) for path in _PROGRAMS if os.path.islink(path)}
    linux.mount("tmpfs", _STAGE, "tmpfs", linux.NO_SUID | linux.NO_DEV, _SMALL)
    for folder in (*_FOLDERS, CACHE.strip("/")):
        os.makedirs(f"{_STAGE}/{folder}", exist_ok=True)
    for path, target in links.items():
        os.symlink(target, _STAGE + path)
    for path in _what_is_shown():
        if path not in links:
            _show(path, shown[path])
    hidden = [path for path in NO_PROGRAMS if os.path.isdir(_STAGE + path)]
    for path in hidden:
        linux.mount("tmpfs", _STAGE + path, "tmpfs", linux.NO_SUID | linux.NO_DEV, _SMALL)
    for tree in trees:
        _show(tree, shown[tree])
    for path in hidden:
        linux.restrict_mount(_STAGE + path, _READ)
    for kept_at, tree in covered.items():
        _show(tree, shown[tree], kept_at)
    _write(_STAGE + _NO_PIP, _PIP)
    os.chmod(_STAGE + _NO_PIP, 0o755)
    for tree in (*trees, *covered, "/usr", "/usr/local"):
        _cover_pip(Path(_STAGE + tree))
    for name, text in _ETC.items():
        _write(f"{_STAGE}/etc/{name}", text)
    _make_devices()
    flags = linux.NO_SUID | linux.NO_DEV | linux.NO_EXEC
    linux.mount("proc", f"{_STAGE}/proc", "proc", flags)
    linux.mount(f"/proc/self/fd/{kept}", _STAGE + WORKSPACES, None, linux.BIND)
    # What is bound from here, in each sandbox, is restricted as it is.
    linux.restrict_mount(_STAGE + WORKSPACES, linux.NO_SUID | linux.NO_DEV)
    linux.pivot_to(_STAGE)
    for descriptor in (*shown.values(), kept):
        os.close(descriptor)


def lying_in(folders: Sequence[str], trees: Sequence[str]) -> dict[str, str]:
    """Return the trees that lie in folders, by where they are to be shown once more."""
    return {
        f"{TREES}/{number}": tree
        for number, tree in enumerate(trees)
        if any(Path(tree).is_relative_to(folder) for folder in folders)
    }


def show_again(covered: Mapping[str, str]) -> None:
    """Show trees again, in a sandbox that has covered them.

    Raises:
        OSError: the kernel refused.
    """
    for source, tree in covered.items():
        os.makedirs(tree, exist_ok=True)
        linux.mount(source, tree, None, linux.BIND | linux.RECURSIVE)


def _what_is_shown() -> Iterator[str]:
    for path in _PROGRAMS:
        if os.path.isdir(path):
            yield path
    for name in _SETTINGS:
        if os.path.exists(f"/etc/{name}"):
            yield f"/etc/{name}"


def _held(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _show(path: str, descriptor: int, at: str = "") -> None:
    target = _STAGE + (at or path)
    if os.path.isdir(f"/proc/self/fd/{descriptor}"):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _write(target, "")
    linux.mount(f"/proc/self/fd/{descriptor}", target, None, linux.BIND | linux.RECURSIVE)
    linux.restrict_mount(target, _READ, recursive=True)


def _cover_pip(tree: Path) -> None:
    """Have pip say at once what it would find out only after many tries."""
    covered = [*tree.glob("bin/pip*"), *tree.glob("lib/python3*/*-packages/pip/__main__.py")]
    for path in {path.resolve() for path in covered}:
        linux.mount(_STAGE + _NO_PIP, str(path), None, linux.BIND)
        linux.restrict_mount(str(path), _READ)


def _make_devices() -> None:
    for name in _DEVICES:
        target = f"{_STAGE}/dev/{name}"
        _write(target, "")
        linux.mount(f"/dev/{name}", target, None, linux.BIND)
    for name, target in (("fd", "self/fd"), ("stdin", "self/fd/0"), ("stdout", "self/fd/1")):
        os.symlink(f"/proc/{target}", f"{_STAGE}/dev/{name}")
    os.symlink("/proc/self/fd/2", f"{_STAGE}/dev/stderr")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
