"""Asks the service of this container whether it can take calls. Standard library only, few imports.

Run as `python -I -S healthcheck.py PORT`, each few seconds: an HTTP library would cost more than
the question.
"""

import socket
import sys

TIMEOUT_S = 3.0


def ready(port: int) -> bool:
    """Return whether `/readyz` answers with 200."""
    request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.sendall(request)
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not ready(int(sys.argv[1])))
