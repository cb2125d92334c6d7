"""What is said of a tool server that ended."""

from __future__ import annotations

from nodes.cures import last_words


def test_the_last_words_of_a_group_of_exceptions_are_what_happened_and_not_its_frame() -> None:
    stderr = [
        "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
        "  +-+---------------- 1 ----------------",
        "    | OSError: [Errno 28] No space left on device",
        "    +------------------------------------",
    ]
    assert last_words(stderr) == "It last said: 'OSError: [Errno 28] No space left on device'."


def test_what_looks_like_a_frame_is_told_if_there_is_nothing_else() -> None:
    assert last_words(["----"]) == "It last said: '----'."
    assert last_words([]) == ""
    assert last_words(["no --name -"]) == "It last said: 'no --name -'."
