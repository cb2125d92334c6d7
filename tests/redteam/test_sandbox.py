"""The attacks on the sandbox that profiles host: none succeeds at what its level promises."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest

from tests.platform.running import ROOT
from tests.redteam.attack import Attack
from tests.redteam.attacks import ALL
from tests.redteam.promises import ALWAYS, Promise
from tests.redteam.standing import Standing, standing

pytestmark = pytest.mark.slow

PROFILE = tomllib.loads((ROOT / "nodes" / "profiles" / "full.toml").read_text())
ENTRY = PROFILE["mcpServers"]["sandbox"]


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(tmp_path_factory.mktemp("confined"), ENTRY) as place:
        yield place


@pytest.fixture(scope="module")
def promised(confined: Standing) -> frozenset[Promise]:
    """What the level that was picked here promises, by the reply to `create_sandbox`."""
    said = set(confined.created().get("promises", Promise))
    known = frozenset(promise for promise in Promise if promise in said) | ALWAYS
    assert {Promise.FILES, Promise.SECRETS} <= known, f"the level speaks other words: {said}"
    return known


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.id)
def test_an_attack_is_repelled(
    attack: Attack, confined: Standing, promised: frozenset[Promise]
) -> None:
    if attack.promise not in promised:
        pytest.skip(f"the level here does not promise: {attack.promise}")
    assert confined.evidence(attack) is None
