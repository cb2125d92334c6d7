"""The profile of the nodes' containers beside the engine's own, as the engine understood both."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.compose.deployment import MANAGER, NODES, Deployment

OURS_ALONE = {
    "chroot": "the browser's sandbox",
    "clone": "its flags are namespaces: sandboxes",
    "mount": "the root of a sandbox",
    "mount_setattr": "the same",
    "pivot_root": "the same",
    "sethostname": "the name of a sandbox, which is in a namespace of its own",
    "setns": "a worker joins its sandbox",
    "umount2": "the root of a sandbox",
    "unshare": "namespaces of a sandbox",
}
"""What only our profile allows, and what it is for."""

HOLDS: dict[str, Callable[[int, int], bool]] = {
    "SCMP_CMP_EQ": operator.eq,
    "SCMP_CMP_NE": operator.ne,
    "SCMP_CMP_LT": operator.lt,
    "SCMP_CMP_LE": operator.le,
    "SCMP_CMP_GT": operator.gt,
    "SCMP_CMP_GE": operator.ge,
    "SCMP_CMP_MASKED_EQ": lambda given, mask: not given & mask,
}
Conditions = frozenset[tuple[int, int, str]]


def understood(deployment: Deployment, container: str) -> dict[str, Any]:
    """Return the profile that a container runs under; its shim works beside the description."""
    pid = deployment.inspect(container, "{{.State.Pid}}")
    [shim] = re.findall(r"^PPid:\t(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    described = json.loads(Path(f"/proc/{shim}/cwd/config.json").read_text())
    return dict(described["linux"]["seccomp"])


def allowed(profile: dict[str, Any]) -> dict[str, set[Conditions]]:
    """Return for each call that is allowed under which conditions; an empty one is none."""
    found: dict[str, set[Conditions]] = {}
    for rule in profile["syscalls"]:
        if rule["action"] != "SCMP_ACT_ALLOW":
            assert rule["action"] == "SCMP_ACT_ERRNO"
            continue
        conditions = frozenset((a["index"], a["value"], a["op"]) for a in rule.get("args") or [])
        for name in rule["names"]:
            found.setdefault(name, set()).add(conditions)
    return found


def covered(conditions: Conditions, theirs: set[Conditions]) -> bool:
    """Whether all that our rule allows, some rule of theirs does; ours only name values."""
    values = {index: value for index, value, _ in conditions}
    return any(
        all(index in values and HOLDS[op](values[index], value) for index, value, op in rule)
        for rule in theirs
    )


@pytest.mark.parametrize("node", NODES)
def test_what_the_engine_keeps_out_the_nodes_profile_does_too(
    deployment: Deployment, node: str
) -> None:
    [manager], [container] = deployment.containers(MANAGER), deployment.containers(node)
    engines, ours = understood(deployment, manager), understood(deployment, container)
    assert engines["defaultAction"] == ours["defaultAction"] == "SCMP_ACT_ERRNO"
    assert set(ours["architectures"]) < set(engines["architectures"])
    theirs, mine = allowed(engines), allowed(ours)
    assert {op for rules in mine.values() for rule in rules for *_, op in rule} == {"SCMP_CMP_EQ"}
    more = {
        name
        for name, rules in mine.items()
        if not all(covered(rule, theirs.get(name, set())) for rule in rules)
    }
    assert more == set(OURS_ALONE)
