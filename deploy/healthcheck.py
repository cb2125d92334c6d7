"""Asks the service of this container whether it can take calls. Standard library only, few imports.

Run as `python -I -S healthcheck.py PORT [settled]`, each few seconds: an HTTP library would cost
more than the question. With `settled` a node whose tool servers still start is not ready: whoever
waits for the platform to be up shall find every tool.
"""

import socket
import sys

TIMEOUT_S = 3.0
MOST = 1 << 20


def ready(port: int, settled: bool) -> bool:
    """Return whether `/readyz` answers with 200, and, if asked, names nothing that starts."""
    request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.sendall(request)
            while (part := connection.recv(65536)) and len(answer) < MOST:
                answer += part
    except OSError:
        return False
    starting = b'":"starting"' in answer.replace(b" ", b"")
    return answer.startswith(b"HTTP/1.1 200 ") and not (settled and starting)


if __name__ == "__main__":
    sys.exit(not ready(int(sys.argv[1]), "settled" in sys.argv))
