"""The words of the sandbox, and how long texts are cut."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mcp_servers.sandbox import texts
from mcp_servers.sandbox.run import Run


@given(st.text(max_size=50), st.integers(0, 1200))
def test_a_cut_text_keeps_its_beginning_and_its_end(piece: str, times: int) -> None:
    whole = piece * times
    cut = texts.cut(whole)
    if len(whole) <= 20_000:
        assert cut == whole
        return
    assert cut.startswith(
        whole[:14_000] + f"\n[... {len(whole) - 20_000} characters omitted ...]\n"
    )
    assert cut.endswith(whole[-6_000:] + " [Result truncated due to length limit]")
    json.dumps(cut)


@given(st.text(), st.text(), st.integers(0, 255))
def test_whatever_was_printed_stands_quoted_in_the_text_of_a_command(
    stdout: str, stderr: str, code: int
) -> None:
    said = texts.command_result(Run(stdout=stdout, stderr=stderr, exit_code=code))
    expected = f"CommandResult(stderr={stderr!r}, stdout={stdout!r}, exit_code={code}, error='')"
    assert said == expected
