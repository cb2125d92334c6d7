"""What stays of sandboxes in their folders, and what goes with a sweep."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mcp_servers.sandbox.record import Facts, Record, Records
from mcp_servers.sandbox.removal import remove

DAY_S = 86_400.0


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "sandboxes")


def made(records: Records, sandbox_id: str, *, lasting: bool) -> Record:
    facts = Facts(sandbox_id, "", DAY_S, 0, time.time())
    return records.make(facts, os.geteuid(), lasting=lasting)


def grow_old(record: Record) -> None:
    then = time.time() - 600
    os.utime(record.folder, (then, then))


def test_what_a_killed_server_would_have_thrown_away_goes_with_the_next_sweep(
    records: Records,
) -> None:
    left = made(records, "left", lasting=False)
    (left.folder / "home" / "file").write_text("of foreign code")
    grow_old(left)
    assert records.sweep(DAY_S) == []
    assert left.folder.is_dir(), "it is held"
    left.close()  # as the kernel does for a process that is killed
    assert records.sweep(DAY_S) == []
    assert not left.folder.exists()


def test_a_folder_that_was_made_a_moment_ago_stays(records: Records) -> None:
    made(records, "young", lasting=False).close()
    records.sweep(DAY_S)
    assert len(list(records.root.iterdir())) == 1


def test_a_sandbox_that_lasts_is_served_again(records: Records) -> None:
    lasting = made(records, "lasting", lasting=True)
    grow_old(lasting)
    assert records.sweep(DAY_S) == []
    lasting.close()
    [found] = records.sweep(DAY_S)
    assert (found.facts.id, (found.folder / "home").is_dir()) == ("lasting", True)
    found.close()


def test_nothing_is_kept_of_one_that_is_thrown_away(records: Records) -> None:
    made(records, "flooded", lasting=False).end("flooded")
    assert list(records.root.iterdir()) == []


@pytest.mark.parametrize("left", ["", "home/file", "tmp/folder/file", "beside"])
@pytest.mark.parametrize("lasting", [False, True])
def test_nothing_is_left_of_one_that_is_forgotten(
    records: Records, left: str, *, lasting: bool
) -> None:
    record = made(records, "one", lasting=lasting)
    if left:
        path = record.folder / left
        path.parent.mkdir(exist_ok=True)
        path.write_text("of foreign code")
    record.forget()
    assert list(records.root.iterdir()) == []
    record.forget()


def test_no_user_is_given_twice(records: Records) -> None:
    made(records, "one", lasting=False)
    made(records, "two", lasting=True)
    assert records.users() == {os.geteuid()}


def test_folders_are_removed_however_they_are_nested(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "empty").mkdir(parents=True)
    (top / "full" / "empty").mkdir(parents=True)
    (top / "full" / "closed" / "deep").mkdir(parents=True)
    (top / "full" / "closed" / "deep" / "file").write_text("x")
    (top / "full" / "closed").chmod(0)
    remove(top)
    assert list(tmp_path.iterdir()) == []
