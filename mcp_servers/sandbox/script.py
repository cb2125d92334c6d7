"""Code that is given as a file: its name, and where it lies in the sandbox."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from mcp_servers.sandbox import paths
from mcp_servers.sandbox.confined.site import HOME, Site


def file_name(wanted: str | None) -> str:
    """Return the name of a file for code.

    Raises:
        BadPath: what is wanted cannot name a file.
    """
    if not wanted:
        return f"code_{secrets.token_hex(4)}.py"
    return paths.split_file(wanted)[-1]


def path_of(name: str) -> str:
    """Return where code finds the file."""
    return f"{HOME}/{name}"


def write(site: Site, name: str, code: str) -> None:
    """Write the file into a sandbox in which nothing has run yet."""
    file = Path(site.workspace, "home", name)
    file.write_text(code, encoding="utf-8", errors="backslashreplace")
    if site.user != os.geteuid():
        os.chown(file, site.user, site.user)
