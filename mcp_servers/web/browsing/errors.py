"""Why a page was not rendered, beside the reasons for which a fetch fails.

FetchError
NoBrowser    needs_browser  there is no browser here, or it does not start
PageCrashed  page_crashed   the page took the browser, or itself, down
IsDownload   download       the address gives a file, not a page
"""

from __future__ import annotations

from mcp_servers.fetching.errors import FetchError


class NoBrowser(FetchError):
    """There is no browser here, or it does not start."""

    kind = "needs_browser"


class PageCrashed(FetchError):
    """The page, or the browser under it, broke down."""

    kind = "page_crashed"


class IsDownload(FetchError):
    """The address gives a file, not a page."""

    kind = "download"
