"""The seeding of numpy's global generator in a fork."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy.random
import pytest
from numpy.random import mtrand

from mcp_servers.sandbox.confined.draws import Draws


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    state = numpy.random.get_state()
    yield
    numpy.random.set_state(state)


def test_all_of_the_state_is_other_and_is_where_seeding_leaves_it() -> None:
    numpy.random.standard_normal()  # keeps a second number for the next call
    draws = Draws()
    draws.prepare()
    numpy.random.seed()
    before = numpy.random.get_state(legacy=False)
    draws.begin_anew()
    after = numpy.random.get_state(legacy=False)
    same = before["state"]["key"] == after["state"]["key"]
    assert same.sum() < 5  # of 624, as chance has it
    assert before["state"]["pos"] == after["state"]["pos"]
    assert after["has_gauss"] == 0


def test_the_generator_draws_what_was_put_into_its_state() -> None:
    draws = Draws()
    draws.prepare()
    draws.begin_anew()
    copy = numpy.random.RandomState()
    copy.set_state(numpy.random.get_state())
    assert numpy.random.random_sample(2000).tolist() == copy.random_sample(2000).tolist()


def test_another_generator_is_seeded_by_numpy() -> None:
    mine = mtrand.get_bit_generator()
    mtrand.set_bit_generator(numpy.random.PCG64(1))
    try:
        draws = Draws()
        draws.prepare()
        before = mtrand.get_bit_generator().state
        draws.begin_anew()
        assert mtrand.get_bit_generator().state != before
    finally:
        mtrand.set_bit_generator(mine)


def test_the_generator_of_random_is_seeded_anew_and_keeps_no_number() -> None:
    before = random.getstate()
    try:
        random.seed(1)
        random.gauss()  # keeps a second number for the next call
        draws = Draws()
        draws.prepare()
        assert random.getstate()[2] is None
        seen = set()
        for _ in range(5):
            draws.begin_anew()
            seen.add(random.random())
        assert len(seen) == 5
    finally:
        random.setstate(before)
