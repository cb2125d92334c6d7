"""The stderr of a tool server on disk."""

from __future__ import annotations

from pathlib import Path

from nodes.server_log import MAX_FILE_BYTES, ServerLog


def test_the_last_lines_are_kept_for_errors(tmp_path: Path) -> None:
    log = ServerLog(tmp_path / "a.log")
    log.open()
    log.write(b"".join(b"line %d\n" % n for n in range(30)) + b"and a ")
    log.write(b"half")
    assert log.last_lines()[-3:] == ["line 28", "line 29", "and a half"]
    assert len(log.last_lines()) <= 21
    log.close()
    assert (tmp_path / "a.log").read_bytes().endswith(b"line 29\nand a half")


def test_a_flood_takes_at_most_two_files_of_bounded_size(tmp_path: Path) -> None:
    log = ServerLog(tmp_path / "a.log")
    log.open()
    for _ in range(30):
        log.write(b"x" * 1_000_000)
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.keys() == {"a.log", "a.log.1"}
    assert max(sizes.values()) <= MAX_FILE_BYTES


def test_a_new_process_begins_with_no_last_lines_but_in_the_same_file(tmp_path: Path) -> None:
    log = ServerLog(tmp_path / "a.log")
    log.open()
    log.write(b"first\n")
    log.open()
    assert log.last_lines() == []
    log.write(b"second\n")
    log.close()
    assert (tmp_path / "a.log").read_text() == "first\nsecond\n"


def test_a_log_that_cannot_be_written_still_keeps_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = ServerLog(tmp_path / "file" / "a.log")
    log.open()
    log.write(b"said\n")
    assert log.last_lines() == ["said"]
