"""What one page may load, the key by which the proxy knows it, and what became of it."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field

from mcp_servers.fetching.errors import FetchError


@dataclass
class Allowance:
    """The account of one page.

    Args:
        max_bytes: To be loaded and sent, in all.
        max_requests: In all; to the proxy, connections count.
        own: Host and port of the inner host that the page is on, which it may therefore reach;
            None if it is on a public one.
    """

    max_bytes: int
    max_requests: int
    own: tuple[str, int] | None = None
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    loaded: int = 0
    requests: int = 0
    connections: int = 0
    refused: dict[str, FetchError] = field(default_factory=dict)
    exceeded: str = ""
    running: set[asyncio.Task[None]] = field(default_factory=set, repr=False)
    inside: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def request(self) -> bool:
        """Count a request; return whether it may be made."""
        self.requests += 1
        if self.requests > self.max_requests:
            self.exceeded = f"It made more than {self.max_requests} requests; the rest was refused."
        return self.requests <= self.max_requests

    def connection(self) -> bool:
        """Count a connection; return whether it may be made."""
        self.connections += 1
        return self.connections <= self.max_requests

    def load(self, size: int) -> bool:
        """Count bytes; return whether they may pass."""
        self.loaded += size
        if self.loaded > self.max_bytes:
            self.exceeded = f"It loaded more than {self.max_bytes} bytes; the rest was cut."
        return self.loaded <= self.max_bytes

    def refuse(self, host: str, error: FetchError) -> None:
        """Keep why a host was not reached; of very many, the first."""
        if len(self.refused) < self.max_requests:
            self.refused.setdefault(host, error)

    def leave(self) -> None:
        """Close the page's own inner host for good: what comes now is from elsewhere."""
        self.own = None
        # A tunnel that is open would carry requests of whoever comes next.
        for task in list(self.inside):
            task.cancel()

    def revoke(self) -> None:
        """Cut every connection of the page."""
        for task in list(self.running):
            task.cancel()
