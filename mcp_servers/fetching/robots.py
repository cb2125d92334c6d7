"""What sites ask of robots (RFC 9309), remembered for an hour each."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from urllib.robotparser import RobotFileParser

import anyio

from mcp_servers.fetching.errors import FetchError, Refused
from mcp_servers.fetching.guard import Target

Fetch = Callable[[str], Awaitable[tuple[int, bytes]]]


class Robots:
    """Keeps the rules of sites.

    Args:
        user_agent: How we introduce ourselves. Rules for the name in it hold, else those for `*`.
    """

    MAX_BYTES = 500_000
    KEPT_S = 3600.0
    MOST = 1000

    def __init__(self, user_agent: str) -> None:
        self._name = _name(user_agent)
        self._known: OrderedDict[tuple[str, str, int], tuple[float, RobotFileParser]] = (
            OrderedDict()
        )

    async def check(self, target: Target, fetch: Fetch) -> None:
        """Return if the site lets robots have this page.

        Raises:
            Refused: it does not.
        """
        now = anyio.current_time()
        until, rules = self._known.get(target.origin, (0.0, None))
        if rules is None or until < now:
            rules = await _rules(str(target.url.copy_with(raw_path=b"/robots.txt")), fetch)
            self._known[target.origin] = (now + self.KEPT_S, rules)
            if len(self._known) > self.MOST:
                self._known.popitem(last=False)
        if not rules.can_fetch(self._name, str(target.url)):
            raise Refused(f"The robots.txt of {target.host} asks robots not to fetch this page.")


def _name(user_agent: str) -> str:
    """Return the name by which rules may know us: that of `compatible; NAME`, else the first."""
    compatible = re.search(r"compatible;\s*([A-Za-z_-]+)", user_agent)
    return compatible[1] if compatible else re.split(r"[/ ]", user_agent)[0]


async def _rules(url: str, fetch: Fetch) -> RobotFileParser:
    """Return a site's rules: none if it has no such file, none allowed if it cannot be had."""
    rules = RobotFileParser()
    try:
        status, text = await fetch(url)
    except FetchError:
        status, text = 503, b""
    if status >= 500:
        rules.parse(["User-agent: *", "Disallow: /"])
    elif status >= 400:
        rules.parse([])
    else:
        rules.parse(text.decode("utf-8", "replace").splitlines())
    return rules
