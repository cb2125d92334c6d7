"""Whether to ask again, and after how long. Pure: it neither waits nor draws lots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PASSING = frozenset({429, 502, 503, 504})
"""Statuses that may be gone at the next try."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to ask, and how long to wait in between.

    Args:
        attempts: Tries in all.
        base_s: Longest wait before the second try; it doubles from try to try.
        longest_s: Longest wait of all. A server that asks for more is not asked again.
    """

    attempts: int = 3
    base_s: float = 0.5
    longest_s: float = 10.0

    def wait_s(self, tried: int, asked_s: float | None, draw: float) -> float | None:
        """Return the seconds to wait before the next try, or None to give up.

        Args:
            tried: Tries so far.
            asked_s: What the server asked for (Retry-After), if it did.
            draw: A number from 0 to 1, so that those who failed together do not come together.
        """
        if tried >= self.attempts:
            return None
        own = min(self.base_s * 2.0 ** (tried - 1), self.longest_s) * (0.5 + draw / 2)
        if asked_s is None:
            return own
        return asked_s + own if asked_s <= self.longest_s else None


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for, None if it is missing or malformed."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())
