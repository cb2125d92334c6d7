"""The secrets of a new installation: made once, never known, and only what is missing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from deploy.first_start import prepare
from manager.stores.address import parse

FILES = ("shared/secret", "manager/admin_key", "manager/store_url", "database/password")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("shared", "manager", "database"):
        (tmp_path / name).mkdir()
    return tmp_path


def values(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text().strip() for name in FILES}


def test_a_first_start_makes_every_secret_and_a_second_none(folder: Path) -> None:
    said = prepare(folder, {})
    made = values(folder)
    assert len(said) == 3
    assert prepare(folder, {}) == ["every secret is there"]
    assert values(folder) == made
    assert all(len(value) >= 32 for value in made.values())
    assert not any(value in line for line in said for value in made.values())


def test_two_installations_share_nothing(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    for name in ("shared", "manager", "database"):
        (other / name).mkdir()
    prepare(folder, {})
    prepare(other, {})
    assert not set(values(folder).values()) & set(values(other).values())


def test_only_owner_and_group_read_a_secret(folder: Path) -> None:
    prepare(folder, {})
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in FILES} == {0o440}


def test_user_and_password_may_be_chosen_and_survive_in_the_url(folder: Path) -> None:
    prepare(folder, {"MONGODB_USERNAME": "me@lab", "MONGODB_PASSWORD": "p/w:d@%20"})
    made = values(folder)
    assert made["database/password"] == "p/w:d@%20"
    assert "me%40lab:p%2Fw%3Ad%40%2520@agentdock-mongodb" in made["manager/store_url"]
    assert parse(made["manager/store_url"]).database == "agentdock"


def test_another_password_later_is_not_taken_and_that_is_said(folder: Path) -> None:
    prepare(folder, {"MONGODB_PASSWORD": "the first one"})
    [said] = prepare(folder, {"MONGODB_PASSWORD": "the second one"})
    assert "MONGODB_PASSWORD is not used" in said
    assert values(folder)["database/password"] == "the first one"


def test_a_start_cut_short_is_made_good(folder: Path) -> None:
    prepare(folder, {})
    before = values(folder)
    (folder / "manager" / "store_url").unlink()
    (folder / "manager" / "store_url.new").write_text("mongodb://half")
    prepare(folder, {})
    assert values(folder) == before
