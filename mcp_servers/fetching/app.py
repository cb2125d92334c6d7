"""Assembly: a fetcher as the settings say."""

from __future__ import annotations

import ssl

from mcp_servers.fetching.fetcher import Fetcher
from mcp_servers.fetching.guard import Guard
from mcp_servers.fetching.pinning import PinnedTransport
from mcp_servers.fetching.resolving import Resolver, SystemResolver
from mcp_servers.fetching.retries import RetryPolicy
from mcp_servers.fetching.settings import FetchSettings


def create_guard(settings: FetchSettings, resolver: Resolver | None = None) -> Guard:
    """Return what judges URLs; `resolver` in place of the machine's own."""
    return Guard(
        resolver or SystemResolver(),
        settings.ports,
        settings.inner_hosts,
        proxied=settings.proxy is not None,
    )


def create_fetcher(
    settings: FetchSettings | None = None,
    *,
    resolver: Resolver | None = None,
    tls: ssl.SSLContext | None = None,
    retries: RetryPolicy | None = None,
) -> Fetcher:
    """Return a fetcher, to be closed by `async with`.

    Args:
        settings: How; None for what the environment says.
        resolver: In place of the machine's own.
        tls: How certificates are checked, in place of the machine's usual way.
        retries: In place of what the settings say.

    Raises:
        pydantic.ValidationError: a variable of the environment is unusable.
    """
    settings = settings or FetchSettings()
    proxy = settings.proxy.get_secret_value() if settings.proxy else None
    return Fetcher(
        settings,
        create_guard(settings, resolver),
        PinnedTransport(settings.connections, proxy, tls),
        retries,
    )
