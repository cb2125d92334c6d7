"""Lines that tool servers write: what is mended, what is refused."""

from __future__ import annotations

import orjson
import pytest

from nodes.lines import NotJson, parse_line


def test_a_sound_line_is_kept_as_it_is() -> None:
    line = '{"id": 1, "result": {"text": "grüße"}}'.encode()
    assert parse_line(line) == ({"id": 1, "result": {"text": "grüße"}}, line)


@pytest.mark.parametrize(
    ("written", "mended"),
    [
        (b'"\\ud83d"', "?"),
        (b"NaN", None),
        (b"-Infinity", None),
        (b'"caf\xe9"', "caf\ufffd"),
    ],
)
def test_an_answer_that_is_a_little_off_is_not_lost(written: bytes, mended: object) -> None:
    parsed = parse_line(b'{"id":1,"result":{"v":%b}}' % written)
    assert parsed is not None
    message, line = parsed
    assert message == {"id": 1, "result": {"v": mended}}
    assert orjson.loads(line) == message
    assert b"\n" not in line


@pytest.mark.parametrize("line", [b"hello", b"[1]", b"3", b'{"id":', b"\xff\xfe", b"[" * 5000])
def test_what_is_no_json_object_is_no_part_of_the_conversation(line: bytes) -> None:
    with pytest.raises(NotJson):
        parse_line(line)


@pytest.mark.parametrize("line", [b"", b"  ", b"\r"])
def test_a_blank_line_is_nothing(line: bytes) -> None:
    assert parse_line(line) is None
