"""Sends a request to the address that the guard has judged, in the name of the host.

The URL that is dialled holds the address, so nothing beneath looks a name up; `Host`, the TLS
server name and the certificate's name stay those of the host. Connections are not kept: one that
was made for one name must not serve another at the same address.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import httpx

from mcp_servers.fetching.guard import Target

CONNECT_S = 5.0
SILENT_S = 20.0


class PinnedTransport:
    """Sends requests to targets.

    Args:
        connections: Most at a time; further ones wait.
        proxy: URL of the proxy for every target that is not an inner one. It looks names up by
            itself, so it has to refuse inner addresses as well.
        tls: How certificates are checked; None for the machine's usual way.
    """

    def __init__(
        self, connections: int, proxy: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        context = tls or httpx.create_ssl_context()
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=0)
        self._direct = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)
        self._proxied = proxy and httpx.AsyncHTTPTransport(
            verify=context, trust_env=False, limits=limits, proxy=proxy
        )

    async def get(self, target: Target, headers: Mapping[str, str]) -> httpx.Response:
        """Return the answer to a GET; its `stream` gives the body as it was sent.

        Addresses are tried in turn until one takes a connection.

        Raises:
            httpx.TransportError: no answer came.
        """
        if self._proxied and not target.inner:
            return await self._proxied.handle_async_request(_request(target, headers))
        failure: httpx.TransportError | None = None
        for address in target.addresses:
            try:
                return await self._direct.handle_async_request(_request(target, headers, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure or httpx.ConnectError("no address")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._direct.aclose()
        if self._proxied:
            await self._proxied.aclose()


def _request(
    target: Target, headers: Mapping[str, str], address: str | None = None
) -> httpx.Request:
    timeout = {"connect": CONNECT_S, "read": SILENT_S, "write": SILENT_S, "pool": None}
    return httpx.Request(
        "GET",
        target.url.copy_with(host=address) if address else target.url,
        headers={**headers, "Host": target.url.netloc.decode("ascii")},
        extensions={"timeout": timeout, "sni_hostname": target.host.removesuffix(".")},
    )
