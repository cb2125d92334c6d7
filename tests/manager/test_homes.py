"""Homes are remembered, so many of them."""

from __future__ import annotations

from manager.homes import Homes


def test_the_home_that_was_asked_for_longest_ago_is_forgotten_first() -> None:
    homes = Homes(most=2)
    homes.note("alice", "box", "one")
    homes.note("bob", "box", "two")
    assert homes.of("alice", "box") == "one"
    homes.note("carol", "box", "one")
    assert homes.of("bob", "box") is None
    assert homes.of("alice", "box") == "one"
    assert homes.of("alice", "other") is None
