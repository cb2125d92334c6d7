"""What all tool servers of a node share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nodes.files_socket import FilesPlaces
from nodes.restarts import RestartPolicy


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all tool servers of a node share.

    Args:
        node_id: Names their log files.
        run: Token of this run of the node, by which their processes are known.
        logs: Folder of their log files.
        base_env: What each finds in its environment beside what its entry names.
        files: What the one that serves files is given.
        policy: When to restart and when to give up.
        start_timeout_s: Seconds from the start of the process until its tools are known.
        stop_grace_s: Seconds between each step of ending a process and the next.
    """

    node_id: str
    run: str
    logs: Path
    base_env: Mapping[str, str] = field(repr=False)
    files: FilesPlaces
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    start_timeout_s: float = 30.0
    stop_grace_s: float = 3.0
