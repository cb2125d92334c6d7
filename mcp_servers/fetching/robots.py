"""What sites ask of robots (RFC 9309), remembered for an hour each."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from mcp_servers.fetching.errors import FetchError, Refused, TooManyRedirects
from mcp_servers.fetching.guard import Target

if TYPE_CHECKING:
    from protego import Protego

Fetch = Callable[[str, float], Awaitable[tuple[int, bytes]]]
"""Returns status and text of a robots.txt, as much of it as is read, within so many seconds."""

_AGENT = re.compile(r"\s*user[- ]?agent\s*[:\s]([^#]*)", re.IGNORECASE)


@dataclass(slots=True)
class _Site:
    """What is known of one site: its rules, or why there are none, and for how long that holds."""

    rules: Protego | None = None
    trouble: str = ""
    until: float = 0.0
    asking: anyio.Lock = field(default_factory=anyio.Lock)


class Robots:
    """Keeps the rules of sites.

    Args:
        user_agent: How we introduce ourselves. Rules for the name in it hold, else those for `*`.
    """

    MAX_BYTES = 500_000
    ASK_S = 10.0
    KEPT_S = 3600.0
    AGAIN_S = 60.0
    """How long it is remembered that rules could not be had: that passes."""
    MOST = 1000

    def __init__(self, user_agent: str) -> None:
        self._name = _name(user_agent)
        self._sites: OrderedDict[tuple[str, str, int], _Site] = OrderedDict()

    async def check(self, target: Target, fetch: Fetch) -> None:
        """Return if the site lets robots have this page.

        Raises:
            Refused: it does not, or it cannot be known.
        """
        site = self._sites.setdefault(target.origin, _Site())
        self._sites.move_to_end(target.origin)
        if len(self._sites) > self.MOST:
            self._sites.popitem(last=False)
        # Who comes while another asks waits for that answer.
        async with site.asking:
            if site.until <= anyio.current_time():
                await self._ask(site, target, fetch)
        if site.rules is None:
            left_s = max(0.0, site.until - anyio.current_time())
            raise Refused(
                f"The robots.txt of {target.host} cannot be had ({site.trouble}), and without it"
                f" no page of that site is fetched. It is asked for again in {left_s:.0f} s."
            )
        if not site.rules.can_fetch(str(target.url), self._name):
            raise Refused(f"The robots.txt of {target.host} asks robots not to fetch this page.")

    async def _ask(self, site: _Site, target: Target, fetch: Fetch) -> None:
        """Learn a site's rules; those that were known stay while there are no newer ones."""
        try:
            url = str(target.url.copy_with(raw_path=b"/robots.txt"))
            status, text = await fetch(url, self.ASK_S)
            trouble = f"HTTP status {status}" if status >= 500 else ""
        except TooManyRedirects:
            status, text, trouble = 404, b"", ""
        except FetchError as error:
            status, text, trouble = 0, b"", str(error).rstrip(".")
        site.trouble = trouble
        site.until = anyio.current_time() + (self.AGAIN_S if trouble else self.KEPT_S)
        if not trouble:
            said = text.decode("utf-8", "replace") if status < 300 else ""
            site.rules = _parsed(said, self._name)


def _name(user_agent: str) -> str:
    """Return the name by which rules may know us: that of `compatible; NAME`, else the first."""
    compatible = re.search(r"compatible;\s*([A-Za-z_-]+)", user_agent)
    return compatible[1] if compatible else re.split(r"[/ ]", user_agent)[0]


def _parsed(text: str, name: str) -> Protego:
    """Return the rules of a file."""
    # Only here: nearly nobody obeys, and each server that fetches would load it.
    from protego import Protego

    return Protego.parse("\n".join(_ours(text.splitlines(), name)))


def _ours(lines: list[str], name: str) -> list[str]:
    """Return the lines with all robots that are not ours as one.

    The parser keeps each rule for each robot that it is for: a file of many of both would take
    it hours.
    """
    other = f"User-agent: {name}-not"
    kept: list[str] = []
    for line in lines:
        agent = _AGENT.match(line)
        who = agent[1].strip(": \t").lower().replace("*", "") if agent else ""
        if who and who not in name.lower():
            if kept[-1:] != [other]:
                kept.append(other)
        else:
            kept.append(line)
    return kept
