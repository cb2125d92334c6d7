"""The process that starts a cell, watches it and ends everything it left: `python -I keeper.py FD`.

On stdin comes the job, one line of JSON (`code`, `workspace`); after it an `i` interrupts the cell,
and anything else, or the end of stdin (the server died), kills it. The cell's report goes to the
descriptor FD. The keeper ends with the cell's exit code, 128 + N for signal N.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path

# -I leaves the project off the path, where foreign code shall not find it either.
sys.path.insert(0, str(Path(__file__).parents[2]))
from mcp_servers.sandbox import cell, processes

del sys.path[0]

CONTROL = 0
SEAL = "made-by-agentdock-sandbox"
"""As in workspace.py, whose imports cost more than all of this program."""


def main() -> None:
    """Run one job to its end and clean up behind it."""
    report = int(sys.argv[1])
    job = json.loads(_read_line())
    processes.adopt_orphans()
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_cell(keeper, job["workspace"])
        sys.exit(cell.run(job["code"], report))
    # The keeper holds no end of these pipes: the server reads until the last writer is gone.
    _to_null(os.O_RDWR, report, 1, 2)
    code = _watch(pid)
    _end_all(pid)
    _remove(job["workspace"])
    os._exit(code if code >= 0 else 128 - code)


def _read_line() -> bytes:
    parts = [b""]
    while not parts[-1].endswith(b"\n"):
        parts.append(os.read(CONTROL, 1 << 20))
        if not parts[-1]:
            sys.exit("the job ended early")
    return b"".join(parts)


def _become_cell(keeper: int, workspace: str) -> None:
    """Turn this fork into a process that can be killed as a whole and reads nothing from stdin."""
    os.setsid()
    processes.die_with_parent(keeper)
    processes.stay_unprivileged()
    _to_null(os.O_RDONLY, CONTROL)
    os.chdir(workspace)


def _to_null(flags: int, *descriptors: int) -> None:
    null = os.open(os.devnull, flags)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def _watch(pid: int) -> int:
    """Return the cell's exit code (-N for signal N) once it ended by itself or was killed."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(CONTROL, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if ended in ready:
            break
        if os.read(CONTROL, 1) != b"i":
            processes.kill_group(pid)
            break
        processes.kill_group(pid, signal.SIGINT)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _end_all(leader: int) -> None:
    """Kill what the cell left, in its group and out of it: orphans become the keeper's children."""
    processes.kill_group(leader)
    try:
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                for pid in processes.children(os.getpid()):
                    processes.kill(pid)
                os.waitpid(-1, 0)
    except ChildProcessError:
        return


def _remove(workspace: str) -> None:
    """Delete the workspace and, if nothing but its seal is there, the folder it lies in."""
    home = Path(workspace).parent
    try:
        _empty(workspace)
        # Never as a tree: a wrong path must not cost more than an empty folder.
        if os.listdir(home) == [SEAL]:
            (home / SEAL).unlink()
            home.rmdir()
    except OSError:  # the server, or its successor, was faster
        return


def _empty(workspace: str) -> None:
    """Delete the workspace, also where the cell took our permissions away."""
    try:
        Path(workspace).rmdir()
        return
    except OSError:  # not empty: the import, half as long as the fork, is needed
        import shutil

    shutil.rmtree(workspace, ignore_errors=True)
    if not Path(workspace).exists():
        return
    Path(workspace).chmod(0o700)
    for folder, names, _ in os.walk(workspace):
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(workspace, ignore_errors=True)


if __name__ == "__main__":
    main()
