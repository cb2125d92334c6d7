"""Starts the stand-in as mongo's own entrypoint would.

The first start makes the user, without being reachable from outside; then the server listens to
all, with authentication.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

DATA = Path("/data/db")
MADE = DATA / "user-made"
SERVER = [sys.executable, "-m", "secantus", "--storage-path", str(DATA), "--standalone"]
SERVER += ["--sync-on-commit", "--cache-size", "256M", "--log-level", "WARNING"]
PATIENCE_S = 30


def make_user(name: str, password: str) -> None:
    """Run the server on loopback for as long as it takes to make the user."""
    server = subprocess.Popen([*SERVER, "--host", "127.0.0.1", "--port", "27018"])
    client: MongoClient[dict[str, object]] = MongoClient(
        "127.0.0.1", 27018, directConnection=True, serverSelectionTimeoutMS=500
    )
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            roles = [{"role": "root", "db": "admin"}]
            client.admin.command("createUser", name, pwd=password, roles=roles)
            break
        except PyMongoError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    client.close()
    server.terminate()
    server.wait(PATIENCE_S)
    MADE.touch()


def main() -> None:
    """Make the user once, then become the server."""
    if not MADE.exists():
        password = Path(os.environ["MONGO_INITDB_ROOT_PASSWORD_FILE"]).read_text().strip()
        make_user(os.environ["MONGO_INITDB_ROOT_USERNAME"], password)
    os.execv(sys.executable, [*SERVER, "--host", "0.0.0.0", "--port", "27017", "--auth"])


if __name__ == "__main__":
    main()
