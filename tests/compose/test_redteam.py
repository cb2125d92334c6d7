"""Attacks on the sandbox where it runs: in a container made as those of the nodes are.

Here it is those that would leave a sandbox; with AGENTDOCK_TEST_ATTACKS=all it is every one of
them, which takes longer than the rest of these tests.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

from tests.compose.deployment import EXPLORE, Deployment
from tests.redteam.attacks import CLASSES

ATTACKS = "tests/redteam/test_sandbox.py"
EVERY = os.environ.get("AGENTDOCK_TEST_ATTACKS") == "all"
LEAVING = ("escape", "secrets", "kernel")
RUNNER = ("pytest", "pytest-asyncio")


def test_no_attack_leaves_its_sandbox_in_a_node_container(
    deployment: Deployment, tmp_path: Path
) -> None:
    pinned = [f"{name}=={version(name)}" for name in RUNNER]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tmp_path)]
    deployment.run(*install, *pinned)
    deployment.run("chmod", "-R", "go+rX", ".", str(tmp_path))
    some = [attack.id for name in LEAVING for attack in CLASSES[name]]
    chosen = [ATTACKS] if EVERY else [f"{ATTACKS}::test_an_attack_is_repelled[{i}]" for i in some]
    said = deployment.compose(
        *("run", "--rm", "--no-deps", "--volume", f"{deployment.folder}:/app:ro"),
        *("--volume", f"{tmp_path}:/runner:ro", "--env", "PYTHONPATH=/runner"),
        *(EXPLORE, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *chosen,
        timeout=3600 if EVERY else 300,
    )
    closing = said.strip().splitlines()[-1]
    print(closing)
    assert re.search(r"\b[1-9]\d* passed", closing), said
    assert "skipped" not in closing, f"the level here promises too little: {said}"
