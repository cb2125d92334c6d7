"""Connects to what the guard has admitted, directly or by the proxy that a setting names."""

from __future__ import annotations

import asyncio
import base64
import ssl

import httpx

from mcp_servers.fetching.errors import Unreachable
from mcp_servers.fetching.guard import Target
from mcp_servers.fetching.pinning import CONNECT_S

HEAD = 1 << 16
"""Longest head of a request or an answer, in bytes."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Dialler:
    """Dials judged addresses and nothing else.

    Args:
        proxy: URL of the proxy for every target that is not an inner one.
    """

    def __init__(self, proxy: str | None = None) -> None:
        self._proxy = httpx.URL(proxy) if proxy else None

    async def dial(self, target: Target) -> Streams:
        """Return streams to the first address that takes a connection.

        Raises:
            Unreachable: none does.
        """
        if self._proxy is not None and not target.inner:
            return await self._through(self._proxy, target)
        for address in target.addresses:
            try:
                return await self._open(address, target.port)
            except (OSError, TimeoutError):
                continue
        raise Unreachable(f"{target.host}, port {target.port}, does not take a connection.")

    async def _open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> Streams:
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(host, port, ssl=tls, limit=HEAD)

    async def _through(self, proxy: httpx.URL, target: Target) -> Streams:
        secure = proxy.scheme == "https"
        port = proxy.port or (443 if secure else 80)
        failure = Unreachable("The proxy did not let the connection through.")
        try:
            tls = ssl.create_default_context() if secure else None
            reader, writer = await self._open(proxy.host, port, tls)
        except (OSError, TimeoutError):
            raise failure from None
        host = f"[{target.host}]" if ":" in target.host else target.host
        lines = [f"CONNECT {host}:{target.port} HTTP/1.1", f"Host: {host}:{target.port}"]
        if proxy.userinfo:
            key = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {key}")
        try:
            async with asyncio.timeout(CONNECT_S):
                writer.write("\r\n".join([*lines, "", ""]).encode())
                answer = await reader.readuntil(b"\r\n\r\n")
            if answer.split(b" ", 2)[1:2] == [b"200"]:
                return reader, writer
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        writer.close()
        raise failure
