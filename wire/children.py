"""What holds for every child process that manager and nodes start."""

from __future__ import annotations

import os


def keep_standard_streams() -> None:
    """Leave a child no descriptor but 0, 1 and 2; to be run in it, between fork and exec.

    uvloop does not close what a child would inherit. Without this a tool server could end its node
    by shutting down the pipe that ties the node to its manager, and write into the node's log.
    """
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2:
            try:
                os.set_inheritable(descriptor, False)
            except OSError:
                continue  # the descriptor that listed the folder is gone
