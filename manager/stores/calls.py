"""The records of calls, what can be asked of them, and how durations are classed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

By = Literal["tool", "server", "node", "key"]
Group: TypeAlias = tuple[str | None, ...]
COLUMNS: dict[By, tuple[str, ...]] = {
    "tool": ("server", "tool"),
    "server": ("server",),
    "node": ("node",),
    "key": ("key",),
}
"""The fields whose values make up a group."""

SHORTEST_MS = 0.01
GROWTH = 1.04
"""Each class of durations ends that much above the last, so its middle is within 2 %."""


@dataclass(slots=True)
class CallRecord:
    """One call as it ended. Times are Unix seconds, sizes bytes.

    `outcome` is `ok`, `tool_error`, `cancelled` or the code of a platform error. `arguments` and
    `result` are None unless the settings ask for bodies. `digest` is the same for calls with the
    same arguments, `trace` the id of the caller's W3C trace.
    """

    id: str
    tool: str
    server: str | None
    node: str | None
    owner: str
    started_at: float
    duration_ms: float
    outcome: str
    request_bytes: int = 0
    result_bytes: int = 0
    arguments: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    digest: str | None = None
    trace: str | None = None

    @property
    def key(self) -> str:
        """The name of the key that called."""
        return self.owner.partition("/")[0]

    @property
    def session(self) -> str | None:
        """The Session that the caller named."""
        return self.owner.partition("/")[2] or None

    @property
    def duration_class(self) -> int:
        """The class of the duration."""
        return duration_class(self.duration_ms)


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls are wanted: those that fit everything that is not None. Times are Unix seconds.

    `since` is the earliest start, `until` comes after the last.
    """

    key: str | None = None
    session: str | None = None
    tool: str | None = None
    server: str | None = None
    node: str | None = None
    outcome: str | None = None
    trace: str | None = None
    since: float | None = None
    until: float | None = None

    def equals(self) -> dict[str, str]:
        """Return the fields that must have a certain value, with it."""
        named = ("key", "session", "tool", "server", "node", "outcome", "trace")
        return {name: value for name in named if (value := getattr(self, name)) is not None}


EVERY_CALL = CallFilter()


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the list of records: behind the call of that start and id."""

    started_at: float
    id: str


@dataclass(frozen=True, slots=True)
class CallSum:
    """How many calls of a group ended so and took so long, and the bytes they moved."""

    group: Group
    outcome: str
    duration_class: int
    calls: int
    request_bytes: int
    result_bytes: int


@dataclass(frozen=True, slots=True)
class Repeats:
    """Calls of a group that were made in Sessions, and how many of those were different."""

    group: Group
    calls: int
    distinct: int


def duration_class(duration_ms: float) -> int:
    """Return the number of the class that a duration belongs to."""
    if duration_ms <= SHORTEST_MS:
        return 0
    return math.ceil(math.log(duration_ms / SHORTEST_MS, GROWTH))


def class_duration_ms(number: int) -> float:
    """Return the middle of a class, in milliseconds."""
    return SHORTEST_MS * GROWTH ** (number - 0.5) if number else SHORTEST_MS
