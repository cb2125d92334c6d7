"""What a search provider promises, and how it fails."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Freshness = Literal["hour", "day", "week", "month", "year"]
_FRESHNESS: dict[str, Freshness] = {
    "h": "hour",
    "d": "day",
    "w": "week",
    "m": "month",
    "y": "year",
}


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for, in the words of Serper.

    Args:
        q: The words.
        gl: Country in two letters.
        hl: Language: letters, perhaps with a region (`zh-cn`).
        location: A place near which to search.
        num: Most results.
        tbs: Google's time filter, such as `qdr:d`.
        page: Which page of results, from 1.
        autocorrect: Whether spelling is corrected; None for the provider's way.
    """

    q: str
    gl: str = "us"
    hl: str = "en"
    location: str | None = None
    num: int = 10
    tbs: str | None = None
    page: int = 1
    autocorrect: bool | None = None

    @property
    def freshness(self) -> Freshness | None:
        """How old results may be, if `tbs` says it in a way that every provider knows."""
        match = re.match(r"qdr:([hdwmy])", self.tbs or "")
        return _FRESHNESS[match[1]] if match else None

    def parameters(self) -> dict[str, Any]:
        """Return what was asked for, as `searchParameters` names it."""
        given = {
            "q": self.q,
            "gl": self.gl,
            "hl": self.hl,
            "type": "search",
            "location": self.location,
            "num": self.num,
            "tbs": self.tbs,
            "page": self.page,
            "autocorrect": self.autocorrect,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Found:
    """What a provider found.

    Args:
        payload: In Serper's shape: `organic`, and what else there is (see shape.py).
        note: What the model should know about how it was found.
    """

    payload: dict[str, Any]
    note: str = ""


class ProviderFailed(Exception):
    """A provider did not answer. The text is shown to callers: it holds no key."""


class QueryRefused(ProviderFailed):
    """It takes everything but this query."""


class KeyRefused(ProviderFailed):
    """It does not accept our key, or is not set up for us."""


class QuotaSpent(ProviderFailed):
    """What our key has paid for is used up."""


class Unavailable(ProviderFailed):
    """It is down, slow, or talks nonsense; that may pass."""


class RateLimited(ProviderFailed):
    """We ask too often.

    Args:
        text: The message.
        retry_after_s: Seconds that it asked to wait, if it did.
    """

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Provider(Protocol):
    """Searches the web somewhere. One object serves all callers, many at a time."""

    @property
    def name(self) -> str:
        """The word for it in settings and results."""
        ...

    async def search(self, query: Query) -> Found:
        """Return what there is; nothing found is `organic: []`, never a failure.

        It may be cancelled at any time.

        Raises:
            ProviderFailed: it cannot say; the kind tells for how long it should be left alone.
        """
        ...
