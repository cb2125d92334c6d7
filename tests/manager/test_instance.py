from __future__ import annotations

import os
from pathlib import Path

import pytest

from manager.instance import AlreadyRunning, InstanceLock, kept_secret


def test_a_second_manager_is_told_who_the_first_one_is(tmp_path: Path) -> None:
    first = InstanceLock(tmp_path / "data", "http://127.0.0.1:8080")
    with pytest.raises(AlreadyRunning) as refused:
        InstanceLock(tmp_path / "data", "http://127.0.0.1:9999")
    assert str(refused.value) == (
        f"AgentDock is already running (pid {os.getpid()}, http://127.0.0.1:8080)"
    )
    first.release()


def test_the_next_manager_may_start_when_the_first_has_ended(tmp_path: Path) -> None:
    first = InstanceLock(tmp_path, "http://127.0.0.1:8080/with-a-longer-address")
    first.release()
    first.release()
    second = InstanceLock(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(AlreadyRunning, match=r"http://127\.0\.0\.1:1\)$"):
        InstanceLock(tmp_path, "")
    second.release()


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    secret = kept_secret(tmp_path / "data")
    assert len(secret) >= 32
    assert kept_secret(tmp_path / "data") == secret
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(OSError, match="empty"):
        kept_secret(tmp_path)
