"""Ports for processes that a test starts."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody uses."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
