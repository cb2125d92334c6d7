"""Adds call records up: how many, how long, how often the same again. Pure; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from manager.stores.calls import By, CallSum, Group, Repeats, class_duration_ms
from manager.views import GroupStats

OK = "ok"


def group_stats(
    by: By, sums: Sequence[CallSum], repeats: Sequence[Repeats], by_tool: Sequence[Repeats]
) -> tuple[list[GroupStats], GroupStats]:
    """Return what each group came to, those with most calls first, and what all did together.

    Args:
        by: What makes a group.
        sums: Of the groups.
        repeats: Of the groups.
        by_tool: Of the tools. All together repeat as much as they do, for a repetition is one of
            the same tool, though perhaps on another node.
    """
    by_group: dict[Group, list[CallSum]] = {}
    for one in sums:
        by_group.setdefault(one.group, []).append(one)
    repeated = {one.group: one for one in repeats}
    groups = [
        _stats(_name(by, group), found, [repeated[group]] if group in repeated else [])
        for group, found in by_group.items()
    ]
    groups.sort(key=lambda stats: (-stats.calls, stats.name or ""))
    return groups, _stats(None, sums, by_tool)


def _stats(name: str | None, sums: Sequence[CallSum], repeats: Iterable[Repeats]) -> GroupStats:
    errors: Counter[str] = Counter()
    durations: Counter[int] = Counter()
    for one in sums:
        durations[one.duration_class] += one.calls
        if one.outcome != OK:
            errors[one.outcome] += one.calls
    in_sessions = sum(one.calls for one in repeats)
    distinct = sum(one.distinct for one in repeats)
    return GroupStats(
        name=name,
        calls=durations.total(),
        errors=dict(errors.most_common()),
        p50_ms=_percentile(durations, 0.5),
        p95_ms=_percentile(durations, 0.95),
        p99_ms=_percentile(durations, 0.99),
        request_bytes=sum(one.request_bytes for one in sums),
        result_bytes=sum(one.result_bytes for one in sums),
        redundancy=round(1 - distinct / in_sessions, 4) if in_sessions else None,
    )


def _percentile(durations: Counter[int], share: float) -> float | None:
    """Return the duration in ms that `share` of the calls did not exceed."""
    wanted = durations.total() * share
    counted = 0
    for number in sorted(durations):
        counted += durations[number]
        if counted >= wanted:
            return round(class_duration_ms(number), 3)
    return None


def _name(by: By, group: Group) -> str | None:
    """Return a group's name; None for calls that had none, such as those that reached no node."""
    if by == "tool":
        server, tool = group
        return f"{server}__{tool}" if server else tool
    return group[0]
