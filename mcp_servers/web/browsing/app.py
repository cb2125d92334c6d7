"""Assembly: a browser as the settings say."""

from __future__ import annotations

from mcp_servers.fetching.app import create_guard
from mcp_servers.fetching.fetcher import Fetcher
from mcp_servers.fetching.resolving import Resolver
from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.web.browsing.browser import Browser
from mcp_servers.web.browsing.dialling import Dialler
from mcp_servers.web.browsing.proxy import PinningProxy
from mcp_servers.web.browsing.settings import BrowserSettings


def create_browser(
    settings: BrowserSettings | None = None,
    fetching: FetchSettings | None = None,
    *,
    fetcher: Fetcher | None = None,
    resolver: Resolver | None = None,
) -> Browser:
    """Return a browser, to be used by `async with`.

    Args:
        settings: How; None for what the environment says.
        fetching: Where it may go, as for the fetcher; None for what the environment says.
        fetcher: Whose turns and robots.txt hold for documents, too; None for nobody's.
        resolver: In place of the machine's own.

    Raises:
        pydantic.ValidationError: a variable of the environment is unusable.
    """
    fetching = fetching or FetchSettings()
    guard = create_guard(fetching, resolver)
    dialler = Dialler(fetching.proxy.get_secret_value() if fetching.proxy else None)
    proxy = PinningProxy(guard, dialler)
    return Browser(
        settings or BrowserSettings(),
        guard,
        proxy,
        fetching.user_agent,
        fetcher.introduce if fetcher else None,
    )
