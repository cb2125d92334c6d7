"""Where new objects lie once the gaps in a process's memory are filled."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import random
from mcp_servers.sandbox.confined import gaps

def pages():
    kept = [bytes(size) for _ in range(3) for size in range(8, 471, 16)]
    return len({id(it) >> 12 for it in kept})

random.seed(1)
sizes = [random.randrange(1, 471) for _ in range(60_000)]
left = [it for it in map(bytes, sizes) if random.random() < 0.9]
random.shuffle(left)
del left[:200]
before = pages()
fill = gaps.fill()
print(before, pages(), len(fill))
"""


def test_new_objects_of_many_sizes_share_pages() -> None:
    command = [sys.executable, "-c", PROGRAM]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    before, after, _ = map(int, said.split())
    assert before > 70  # 90 objects in the gaps
    assert after < 45  # of 30 sizes, each of which has pages of its own
