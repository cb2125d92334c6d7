"""Makes the secrets of a new installation once, and refuses what manager or nodes would refuse.

The service `agentdock-init` runs it before all others. Each folder is a volume that only its
consumers mount: `shared` manager and nodes, `manager` the manager, `database` manager and database.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from manager.settings import ManagerSettings
from wire.readable import closed
from wire.settings import SettingsError, load

KEYS = Path("/run/agentdock")
MOUNTED = (Path("nodes/profiles"), Path("mcp_servers"))
DATABASE = "agentdock-mongodb:27017/agentdock?authSource=admin&directConnection=true"
DEFAULT_USER = "agentdock"
BITS = 192


def prepare(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Write what is missing and return what there is to tell, a line each.

    Args:
        folder: Holds the three folders.
        environ: Where `MONGODB_USERNAME` and `MONGODB_PASSWORD` may be set.

    Raises:
        OSError: a folder cannot be written.
    """
    said = []
    user = environ.get("MONGODB_USERNAME") or DEFAULT_USER
    wanted = environ.get("MONGODB_PASSWORD") or secrets.token_urlsafe(BITS // 8)
    password = folder / "database" / "password"
    store_url = f"mongodb://{quote(user, safe='')}:{{}}@{DATABASE}"
    if keep(folder / "shared" / "secret", secrets.token_urlsafe(BITS // 8)):
        said.append("made the secret of manager and nodes")
    if keep(folder / "manager" / "admin_key", secrets.token_urlsafe(BITS // 8)):
        said.append("made the key of the administrator; `make key` shows it")
    if keep(password, wanted):
        said.append("made the password of the database")
    kept = password.read_text().strip()
    keep(folder / "manager" / "store_url", store_url.format(quote(kept, safe="")))
    if environ.get("MONGODB_PASSWORD") not in (None, "", kept):
        said.append("MONGODB_PASSWORD is not used: the database was made with another one")
    return said or ["every secret is there"]


def keep(path: Path, value: str) -> bool:
    """Write a file that is not there yet, whole or not at all; return whether it was written."""
    if path.exists():
        return False
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o440)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return True


def main() -> int:
    """Return the exit code: 0, 1 if a volume cannot be written or read, 2 for bad settings."""
    try:
        for line in prepare(KEYS, os.environ):
            print(line, flush=True)
        load(ManagerSettings, os.environ)
        if fault := closed(MOUNTED):
            print(fault, file=sys.stderr)
            return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except SettingsError as error:
        print(f"{error}\nWrite that into .env, then start again.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
