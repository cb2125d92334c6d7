"""The suite itself: many attacks, of every class, and no two of the same."""

from __future__ import annotations

import io
from collections import Counter
from contextlib import redirect_stdout

from tests.redteam.attacks import ALL, CLASSES
from tests.redteam.payloads import BEGAN, fault_of_its_own, guarded
from tests.redteam.promises import Promise


def test_there_are_many_attacks_of_every_class() -> None:
    assert len(ALL) >= 120
    assert {name: len(attacks) for name, attacks in CLASSES.items() if len(attacks) < 5} == {}


def test_an_attack_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(a.id for a in ALL).items() if count > 1] == []


def test_every_promise_is_tried() -> None:
    assert {attack.promise for attack in ALL} == set(Promise)


def test_an_attack_that_is_badly_written_is_told_from_one_that_was_refused() -> None:
    assert fault_of_its_own(_printed("undefined_name")) is not None
    assert fault_of_its_own(_printed("raise PermissionError(13, 'refused')")) is None


def _printed(code: str) -> str:
    with redirect_stdout(io.StringIO()) as output:
        exec(guarded(code), {})
    assert BEGAN in output.getvalue()
    return output.getvalue()
