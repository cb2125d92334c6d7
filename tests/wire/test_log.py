"""What a line of the log holds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
from wire.log import configure
configure("INFO", sys.argv[1], sys.argv[2])
logging.getLogger("nodes.app").warning("two %s", "words")
"""


def logged(format: str, service: str) -> str:
    command = [sys.executable, "-c", PROGRAM, format, service]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stderr


@pytest.mark.parametrize(
    ("service", "who"),
    [
        ("manager", {"service": "manager"}),
        ("node explore-4f2a", {"service": "node", "node": "explore-4f2a"}),
    ],
)
def test_a_line_of_json_says_who_speaks(service: str, who: dict[str, str]) -> None:
    event = json.loads(logged("json", service))
    assert event.pop("time").endswith("Z")
    said = {"level": "warning", "logger": "nodes.app", "message": "two words"}
    assert event == said | who


def test_a_line_of_text_says_who_speaks() -> None:
    assert logged("text", "node explore").endswith("WARNING node explore two words\n")
