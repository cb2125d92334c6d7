"""Says what to do where a folder of the project is closed to the user that a process runs as."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path


def closed(paths: Iterable[Path]) -> str | None:
    """Return what is closed to this process and how to open it; None if nothing is.

    A clone made under a strict umask is open to its owner alone, and containers have a user of
    their own. What is missing, or closed within a folder, is said where it is used.

    Args:
        paths: Files and folders.
    """
    shut = [str(path) for path in paths if not _is_open(path)]
    if not shut:
        return None
    return (
        f"{' and '.join(shut)}: user {os.geteuid()}, as which this runs, may not read there. Let "
        "everybody read it, where it comes from: chmod -R go+rX nodes/profiles mcp_servers"
    )


def _is_open(path: Path) -> bool:
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return os.access(path, os.R_OK | os.X_OK if is_folder else os.R_OK)
