"""The negative control: attacks succeed on a plain child process, so the suite can fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redteam.attack import Attack
from tests.redteam.attacks import ALL
from tests.redteam.standing import Standing, standing

pytestmark = pytest.mark.slow

ENTRY = {"command": "python", "args": [str(Path(__file__).with_name("plain_server.py"))]}
SURE = [attack for attack in ALL if attack.breaks_plain]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(tmp_path_factory.mktemp("plain"), ENTRY) as place:
        yield place


@pytest.mark.parametrize("attack", SURE, ids=lambda attack: attack.id)
def test_an_attack_succeeds_against_a_plain_child_process(attack: Attack, plain: Standing) -> None:
    assert plain.evidence(attack) is not None


def test_that_holds_for_many_attacks() -> None:
    assert len(SURE) >= 40
