"""The process that reads documents: jobs come in frames on stdin, pages go to stdout."""

from __future__ import annotations

import os
import pickle
import resource
import struct
import sys
from typing import BinaryIO

FRAME = struct.Struct("!Q")
CPU_S = 20
"""Most seconds of CPU for one document; beyond, the kernel ends the process."""

MEMORY = 2 << 30
"""Most bytes of address space."""


def main() -> None:
    """Serve until stdin closes."""
    jobs, pages = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the frames
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(3000)
    from mcp_servers.web.reading import documents

    _warm()
    _answer(pages, b"ready")
    while (frame := _frame(jobs)) is not None:
        _allow_cpu()
        # The parent, which alone can write here, is trusted; nothing of a document is unpickled.
        job = pickle.loads(frame)
        try:
            page = documents.read(job)
        except MemoryError:
            os._exit(3)  # what is left of the heap is not to be relied on
        _answer(pages, pickle.dumps(page))


def _warm() -> None:
    """Import what reading a page needs, so that the first page is not slower."""
    from mcp_servers.web.reading import hypertext

    hypertext.read("<html><body><article><p>A page to begin with.</p></article></body></html>", "")


def _allow_cpu() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + CPU_S + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _frame(source: BinaryIO) -> bytes | None:
    head = source.read(FRAME.size)
    if len(head) < FRAME.size:
        return None
    [size] = FRAME.unpack(head)
    frame = source.read(size)
    return frame if len(frame) == size else None


def _answer(sink: BinaryIO, frame: bytes) -> None:
    sink.write(FRAME.pack(len(frame)))
    sink.write(frame)
    sink.flush()


if __name__ == "__main__":
    main()
