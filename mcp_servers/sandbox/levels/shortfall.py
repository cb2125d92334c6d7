"""Says that a level keeps less than the best one would, and what brings that one."""

from __future__ import annotations

from pathlib import Path

from mcp_servers.sandbox.levels.choice import BEST_FIRST

CURES = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "10000"),
)
"""Settings of the kernel, the value that keeps users from namespaces, and one that does not."""


def shortfall(level: str, wanted: str, settings: Path = Path("/proc/sys")) -> str | None:
    """Return what to tell people about a level, in at most 100 letters; None if nothing.

    Args:
        level: The one that was taken.
        wanted: What was asked for; who named a level knows what it keeps.
        settings: Where the kernel shows its settings.
    """
    best = BEST_FIRST[0]
    if wanted != "auto" or level == best:
        return None
    for name, bad, good in CURES:
        if _read(settings / name) == bad:
            return f"weaker than {best}; for those: sysctl -w {name.replace('/', '.')}={good}"
    return f"weaker than {best}, which the start could not have: see docs/security.md"


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
