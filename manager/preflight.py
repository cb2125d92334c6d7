"""What is checked before anything starts: the settings of the nodes that we would start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

NODES = "AGENTDOCK_NODE_"
SET_BY_US = tuple(f"{NODES}{name}" for name in ("ID", "PORT", "PROFILE", "MANAGER_URL"))
STAND_IN_SECRET = "only while settings are checked"


def faults_of_node_settings(environ: Mapping[str, str]) -> str | None:
    """Return what is wrong with the settings that nodes would be started with; None if nothing.

    Nodes read them, so a node is asked: half a second, spent only where such settings are made.
    """
    if not any(name.startswith(NODES) for name in environ):
        return None
    given = {"AGENTDOCK_SECRET": environ.get("AGENTDOCK_SECRET") or STAND_IN_SECRET}
    done = subprocess.run(
        [sys.executable, "-m", "nodes", "--check"],
        env={**environ, **dict.fromkeys(SET_BY_US, ""), **given},
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode == 0 else done.stderr.strip()
