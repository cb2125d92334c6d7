"""What some tests need and a machine may lack: a failure in CI, a visible skip elsewhere."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def need(command: str, cure: str) -> str:
    """Return the path of a command. A machine without it skips the test, in CI it fails.

    Args:
        command: Such as `npx`.
        cure: How to get it, such as "install Node".
    """
    path = shutil.which(command)
    if path is None:
        lack(f"{command} is missing: {cure}")
    return path


def lack(what: str) -> NoReturn:
    """Say that a part is missing: in CI (`CI=true`) the test fails, elsewhere it is skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
