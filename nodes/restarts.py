"""Whether a tool server that ended is started again, and after how long. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a tool server; times in seconds on any one clock.

    `ready` is None if it never was. `away` means that it failed for a reason that may pass by
    itself, such as a network that is down.
    """

    started: float
    ready: float | None
    ended: float
    away: bool = False


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How patient we are.

    Args:
        base_s: Wait before the first restart; it doubles with each that follows.
        max_s: Longest wait.
        reset_s: Uptime after which a run counts as sound and the wait begins anew.
        give_up: Runs in a row that never became ready, after which none follows. Those that were
            away do not count: it is tried on for ever.
    """

    base_s: float = 0.5
    max_s: float = 30.0
    reset_s: float = 60.0
    give_up: int = 5


@dataclass(frozen=True, slots=True)
class Restart:
    """Start again after `after_s` seconds."""

    after_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not start again until somebody asks or the entry changes."""

    reason: str


def decide(history: Sequence[Run], now: float, policy: RestartPolicy) -> Restart | GiveUp:
    """Say what follows on the last run of `history`, which is in order of time.

    Args:
        history: All runs that ended; the last one has just.
        now: The time on the runs' clock; what has passed since the end counts as waited.
        policy: How patient to be.
    """
    stillborn = 0
    for run in reversed(history):
        if run.ready is not None or run.away:
            break
        stillborn += 1
    if stillborn >= policy.give_up:
        return GiveUp(f"it did not become ready in {stillborn} tries")
    unsound = 0
    for run in reversed(history):
        if _is_sound(run, policy):
            break
        unsound += 1
    if not unsound:
        return Restart(_left(policy.base_s, history, now), "it ended after a sound run")
    exponent = min(unsound - 1, 32)
    wait = min(policy.base_s * 2.0**exponent, policy.max_s)
    return Restart(_left(wait, history, now), f"try {unsound + 1} since it last ran well")


def _is_sound(run: Run, policy: RestartPolicy) -> bool:
    return run.ready is not None and run.ended - run.ready >= policy.reset_s


def _left(wait_s: float, history: Sequence[Run], now: float) -> float:
    passed = now - history[-1].ended if history else 0.0
    return max(0.0, wait_s - passed)
