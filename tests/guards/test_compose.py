"""docker-compose.yml hands every setting to who reads it, and to nobody else."""

from __future__ import annotations

import json
import re

import pytest

from tests.guards.source import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()

FIXED = {
    "AGENTDOCK_DATA_DIR",
    "AGENTDOCK_MANAGER_LAUNCHER",
    "AGENTDOCK_MANAGER_LOCAL_NODES",
    "AGENTDOCK_MANAGER_DOCKER_SOCKET",
    "AGENTDOCK_NODE_ID",
    "AGENTDOCK_NODE_HOST",
    "AGENTDOCK_NODE_PORT",
    "AGENTDOCK_NODE_PROFILE",
    "AGENTDOCK_NODE_ADVERTISE_URL",
}
"""What containers decide themselves, by their image, their host name, or having no engine."""


def section(anchor: str) -> str:
    """Return the lines from the anchor up to the next line that starts in the first column."""
    found = re.search(rf"&{anchor}\n(.*?)(?=^\S)", COMPOSE, re.DOTALL | re.MULTILINE)
    assert found, f"docker-compose.yml has no anchor &{anchor}"
    return found[1]


def named(text: str) -> set[str]:
    return set(re.findall(r"^ +([A-Z][A-Z0-9_]+):", text, re.MULTILINE))


def settings() -> set[str]:
    return set(re.findall(r"^# ([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))


def test_every_setting_reaches_its_service() -> None:
    """A new setting belongs below the anchor of who reads it."""
    reaching = {
        "manager": named(section("manager-settings") + section("platform-settings")),
        "node": named(section("node-settings") + section("platform-settings")),
    }
    composes = set(re.findall(r"\$\{([A-Z0-9_]+):-", COMPOSE)) | {"MONGODB_PASSWORD"}
    missing = [
        name
        for name in settings() - FIXED - composes
        if name not in reaching["manager" if name.startswith("AGENTDOCK_MANAGER_") else "node"]
    ]
    assert missing == []


def test_nothing_of_the_managers_reaches_a_node() -> None:
    names = named(section("node-settings"))
    assert [name for name in names if name.startswith(("AGENTDOCK_MANAGER_", "MONGO"))] == []


def test_the_example_shows_what_compose_falls_back_to() -> None:
    shown = dict(re.findall(r"^# ([A-Z][A-Z0-9_]+)=(.+)$", EXAMPLE, re.MULTILINE))
    inside = {"AGENTDOCK_NODE_MANAGER_URL"}  # another address than without containers
    differ = {
        name: default
        for name, default in re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", COMPOSE)
        if name in shown and shown[name] != default and name not in inside
    }
    assert differ == {}


@pytest.mark.parametrize("key", ["privileged", "cap_add", "docker.sock", "network_mode: host"])
def test_no_container_is_given_power_over_the_machine(key: str) -> None:
    assert key not in COMPOSE


def test_the_seccomp_profile_allows_namespaces_and_refuses_what_breaks_out() -> None:
    profile = json.loads((ROOT / "deploy" / "seccomp.json").read_text())
    refused = {name for rule in profile["syscalls"] for name in rule["names"] if "args" not in rule}
    assert refused >= {"bpf", "io_uring_setup", "kexec_load", "ptrace", "userfaultfd", "keyctl"}
    assert refused & {"unshare", "clone", "clone3", "mount", "umount2", "pivot_root"} == set()


def test_images_carry_the_version_of_the_code() -> None:
    from wire import __version__

    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert f"ARG VERSION={__version__}\n" in dockerfile
    assert set(re.findall(r"\{IMAGE_TAG:-(.*?)\}", COMPOSE)) == {__version__}


def test_no_rule_of_seccomp_names_an_argument_twice() -> None:
    """Engines take two conditions on one argument as either, not as both."""
    profile = json.loads((ROOT / "deploy" / "seccomp.json").read_text())
    for rule in profile["syscalls"]:
        places = [condition["index"] for condition in rule.get("args", [])]
        assert len(places) == len(set(places)), rule
