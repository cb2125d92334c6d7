"""docker-compose.yml hands every setting to who reads it, and to nobody else."""

from __future__ import annotations

import json
import re

import pytest

from tests.guards.source import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
NODE_SETTINGS = (ROOT / "deploy" / "node-settings.env").read_text()

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
    "WEB_CACHE_DIR",
}
"""What containers decide themselves, by their image, their host name, or having no engine."""


BREAKING_OUT = set(
    """
    bpf clone3 fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register
    io_uring_setup kcmp kexec_load keyctl memfd_secret modify_ldt move_mount open_by_handle_at
    open_tree open_tree_attr perf_event_open pidfd_getfd process_vm_readv process_vm_writev ptrace
    socketcall userfaultfd
    """.split()  # noqa: SIM905 (a list of 30 would take 30 lines)
)


def section(anchor: str) -> str:
    """Return the lines from the anchor up to the next line that starts in the first column."""
    found = re.search(rf"&{anchor}\n(.*?)(?=^\S)", COMPOSE, re.DOTALL | re.MULTILINE)
    assert found, f"docker-compose.yml has no anchor &{anchor}"
    return found[1]


def named(text: str) -> set[str]:
    return set(re.findall(r"^ +([A-Z][A-Z0-9_]+):", text, re.MULTILINE))


def of_nodes() -> set[str]:
    """Return the settings that nodes are handed when they are in `.env`."""
    return set(re.findall(r"^([A-Z][A-Z0-9_]+)(?:=|$)", NODE_SETTINGS, re.MULTILINE))


def settings() -> set[str]:
    return set(re.findall(r"^# ([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))


def test_every_setting_reaches_its_service() -> None:
    """A new setting belongs below the manager's anchor, or into deploy/node-settings.env."""
    reaching = {
        "manager": named(section("manager-settings") + section("platform-settings")),
        "node": of_nodes(),
    }
    composes = set(re.findall(r"\$\{([A-Z0-9_]+):-", COMPOSE)) | {"MONGODB_PASSWORD"}
    missing = [
        name
        for name in settings() - FIXED - composes
        if name not in reaching["manager" if name.startswith("AGENTDOCK_MANAGER_") else "node"]
    ]
    assert missing == []


def test_nothing_of_the_managers_reaches_a_node() -> None:
    names = of_nodes()
    assert names
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
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    names = {it for rule in profile["syscalls"] for it in rule["names"] if "errnoRet" not in rule}
    assert names >= {"unshare", "clone", "mount", "umount2", "pivot_root", "mount_setattr"}
    assert not names & BREAKING_OUT


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
