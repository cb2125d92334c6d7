"""Whether and when a tool server is started again: written histories, no process."""

from __future__ import annotations

import pytest

from nodes.restarts import GiveUp, Restart, RestartPolicy, Run, decide

POLICY = RestartPolicy(base_s=0.5, max_s=30, reset_s=60, give_up=5)


def stillborn(count: int) -> list[Run]:
    """Return runs that never became ready."""
    return [Run(n, None, n + 0.5) for n in range(count)]


def short(count: int) -> list[Run]:
    """Return runs that were ready for a second."""
    return [Run(2 * n, 2 * n, 2 * n + 1) for n in range(count)]


def wait_after(history: list[Run]) -> float:
    decision = decide(history, history[-1].ended, POLICY)
    assert isinstance(decision, Restart)
    return decision.after_s


@pytest.mark.parametrize(
    ("runs", "wait"), [(1, 0.5), (2, 1), (3, 2), (4, 4), (6, 16), (7, 30), (50, 30)]
)
def test_the_wait_doubles_with_each_short_run_up_to_the_longest(runs: int, wait: float) -> None:
    assert wait_after(short(runs)) == wait


def test_a_sound_run_makes_the_wait_begin_anew() -> None:
    sound = Run(100, 100, 160)
    assert wait_after([*short(6), sound]) == 0.5
    assert wait_after([*short(6), sound, Run(161, 161, 162)]) == 0.5
    assert wait_after([*short(6), sound, Run(161, 161, 162), Run(163, 163, 164)]) == 1


def test_a_run_just_short_of_sound_does_not_reset_the_wait() -> None:
    assert wait_after([*short(2), Run(10, 10.1, 70)]) == 2


def test_uptime_counts_from_readiness_not_from_the_start() -> None:
    assert wait_after([*short(1), Run(10, 69, 71)]) == 1


def test_it_is_given_up_after_starts_in_a_row_that_never_became_ready() -> None:
    assert isinstance(decide(stillborn(5), 10, POLICY), GiveUp)
    assert isinstance(decide(stillborn(4), 10, POLICY), Restart)


def test_one_ready_run_between_makes_the_count_begin_anew() -> None:
    history = [*stillborn(4), Run(10, 10, 11), *stillborn(4)]
    assert isinstance(decide(history, 20, POLICY), Restart)


def test_one_that_always_becomes_ready_and_dies_is_never_given_up() -> None:
    assert isinstance(decide(short(1000), 10_000, POLICY), Restart)


def test_what_has_passed_since_the_end_counts_as_waited() -> None:
    history = [Run(0, 0, 10)]
    for now, left in [(10.2, 0.3), (11, 0.0)]:
        decision = decide(history, now, POLICY)
        assert isinstance(decision, Restart)
        assert decision.after_s == pytest.approx(left)
