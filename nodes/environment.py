"""What a tool server finds in its environment: a short list, and what its entry names."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""Where relative paths of a profile start."""

_CA = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
)
_PROXY = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")
INHERITED = frozenset(
    {"PATH", "HOME", "LANG", "TMPDIR", *_CA, *_PROXY, *(name.upper() for name in _PROXY)}
)


def base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of our environment that every tool server gets.

    Our interpreter's own commands end its PATH, so that `uvx` is found on every machine.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in INHERITED or name.startswith("LC_")
    }
    paths = [path for path in (kept.get("PATH"), str(Path(sys.executable).parent)) if path]
    return {**kept, "PATH": os.pathsep.join(paths)}


def find_command(command: str, environ: Mapping[str, str]) -> str | None:
    """Return the absolute path of a command; `python` is the interpreter that runs us.

    Args:
        command: A name to look up on the PATH, or a path; a relative one starts at the project.
        environ: The environment that the process will have.
    """
    if command == "python":
        return sys.executable
    if "/" in command:
        path = PROJECT_ROOT / Path(command).expanduser()
        return shutil.which(str(path))
    return shutil.which(command, path=environ.get("PATH"))
