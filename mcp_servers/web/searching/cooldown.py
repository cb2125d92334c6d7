"""For how long a provider that failed is left alone. Pure: it reads no clock."""

from __future__ import annotations

from dataclasses import dataclass

from mcp_servers.web.searching.base import (
    KeyRefused,
    ProviderFailed,
    QueryRefused,
    QuotaSpent,
    RateLimited,
)

FAILURES = 3
"""So many failures in a row that may pass, and a provider is left alone."""


@dataclass(frozen=True, slots=True)
class CoolDownPolicy:
    """Seconds to leave a provider alone; those that have a longest double from time to time."""

    rate_limited_s: float = 2.0
    rate_limited_longest_s: float = 300.0
    unavailable_s: float = 15.0
    unavailable_longest_s: float = 600.0
    refused_s: float = 3600.0
    asked_longest_s: float = 3600.0

    def rest_s(self, failure: ProviderFailed, failures: int) -> float:
        """Return how long to wait after a failure, the last of `failures` in a row."""
        match failure:
            case QueryRefused():
                return 0.0
            case KeyRefused() | QuotaSpent():
                return self.refused_s
            case RateLimited(retry_after_s=float() | int() as asked_s):
                return min(max(asked_s, 0.0), self.asked_longest_s)
            case RateLimited():
                return min(self.rate_limited_s * 2.0 ** (failures - 1), self.rate_limited_longest_s)
        if failures < FAILURES:
            return 0.0
        return min(self.unavailable_s * 2.0 ** (failures - FAILURES), self.unavailable_longest_s)


class CoolDown:
    """How one provider stands."""

    def __init__(self, policy: CoolDownPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._until = 0.0
        self.reason = ""

    def failed(self, failure: ProviderFailed, now: float) -> None:
        """Note a failure."""
        if isinstance(failure, QueryRefused):
            return
        self._failures = min(self._failures + 1, 30)
        self._until = max(self._until, now + self._policy.rest_s(failure, self._failures))
        self.reason = str(failure)

    def answered(self) -> None:
        """Note an answer."""
        self._failures = 0
        self._until = 0.0
        self.reason = ""

    def left_s(self, now: float) -> float:
        """Return for how many more seconds to leave it alone; 0 if it can be asked."""
        return max(0.0, self._until - now)
