"""What each container may reach and read, tried from inside; and what the engine was asked for."""

from __future__ import annotations

import errno
import json
import socket
from typing import Any

import pytest

from tests.compose.deployment import (
    EXPLORE,
    FULL,
    INIT,
    MANAGER,
    MONGODB,
    NODES,
    SERVICES,
    Deployment,
)

REFUSED = """
import ctypes, pyseccomp, socket
libc = ctypes.CDLL(None, use_errno=True)
calls = {
    "ptrace": (), "bpf": (999,), "userfaultfd": (17,), "keyctl": (), "add_key": (),
    "io_uring_setup": (), "process_vm_readv": (), "perf_event_open": (), "pidfd_getfd": (-1, -1, 1),
    "open_tree": (-1, 0, 1 << 20), "kcmp": (0, 0, 99), "memfd_secret": (1 << 20,),
    "personality": (0x0400000,), "fsopen": (), "move_mount": (), "finit_module": (-1,),
}
for name, given in calls.items():
    number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
    ctypes.set_errno(0)
    libc.syscall(number, *(ctypes.c_long(it) for it in (*given, *[0] * 6)[:6]))
    print(name, ctypes.get_errno())
for family, kind, protocol in ((16, 3, 12), (17, 3, 0), (38, 5, 0), (40, 1, 0)):
    for make in (socket.socket, socket.socketpair):
        try:
            make(family, kind, protocol)
            print(f"{make.__name__}-{family}", 0)
        except OSError as error:
            print(f"{make.__name__}-{family}", error.errno)
"""
"""Tries what breaks out, in ways that do no harm where nothing forbids it, and prints errors."""

NETWORKS = {
    MANAGER: {"front", "mesh", "database"},
    MONGODB: {"database"},
    FULL: {"mesh", "internet"},
    EXPLORE: {"mesh", "internet"},
}
INTERNAL = {"mesh": "true", "database": "true", "front": "false", "internet": "false"}
FOLDERS = ("shared", "manager", "database")
CONSUMERS = {MANAGER: {"shared", "manager"}, MONGODB: {"database"}, FULL: {"shared"}}
CONSUMERS[EXPLORE] = CONSUMERS[FULL]


def only(deployment: Deployment, service: str) -> str:
    [container] = deployment.containers(service)
    return container


def connects(deployment: Deployment, service: str, host: str, port: int) -> bool:
    """Whether a connection from inside a container comes about."""
    line = f"timeout 2 bash -c 'exec 3<>/dev/tcp/{host}/{port}'; echo status $?"
    return "status 0" in deployment.inside(only(deployment, service), line)


def address(deployment: Deployment, service: str, network: str) -> str:
    form = f'{{{{(index .NetworkSettings.Networks "{deployment.project}_{network}").IPAddress}}}}'
    return deployment.inspect(only(deployment, service), form)


@pytest.mark.parametrize("service", SERVICES)
def test_each_container_is_on_its_networks_only(deployment: Deployment, service: str) -> None:
    form = "{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{end}}"
    found = deployment.inspect(only(deployment, service), form).split()
    assert {name.removeprefix(f"{deployment.project}_") for name in found} == NETWORKS[service]


@pytest.mark.parametrize("network", INTERNAL)
def test_a_network_has_a_way_out_only_if_it_must(deployment: Deployment, network: str) -> None:
    command = ("docker", "network", "inspect", "--format", "{{.Internal}}")
    internal = deployment.run(*command, f"{deployment.project}_{network}").strip()
    assert internal == INTERNAL[network]


@pytest.mark.parametrize("node", NODES)
def test_a_node_reaches_the_manager_and_the_world_but_not_the_database(
    deployment: Deployment, node: str
) -> None:
    assert connects(deployment, node, MANAGER, 8080)
    form = f'{{{{(index .NetworkSettings.Networks "{deployment.project}_internet").Gateway}}}}'
    gateway = deployment.inspect(only(deployment, node), form)
    with socket.create_server(("0.0.0.0", 0)) as world:
        assert connects(deployment, node, gateway, world.getsockname()[1])
    assert not connects(deployment, node, MONGODB, 27017)
    assert not connects(deployment, node, address(deployment, MONGODB, "database"), 27017)


def test_the_database_reaches_no_node(deployment: Deployment) -> None:
    for node, port in ((FULL, 8004), (EXPLORE, 8014)):
        assert not connects(deployment, MONGODB, node, port)
        assert not connects(deployment, MONGODB, address(deployment, node, "mesh"), port)


def test_the_manager_reaches_nodes_and_database(deployment: Deployment) -> None:
    for service, port in ((FULL, 8004), (EXPLORE, 8014), (MONGODB, 27017)):
        assert connects(deployment, MANAGER, service, port)


def test_only_the_manager_is_published(deployment: Deployment) -> None:
    for service in SERVICES:
        form = "{{json .HostConfig.PortBindings}}"
        published = json.loads(deployment.inspect(only(deployment, service), form)) or {}
        assert set(published) == ({"8080/tcp"} if service == MANAGER else set())


PLACES = (
    (MANAGER, "shared/secret"),
    (MANAGER, "manager/admin_key"),
    (MANAGER, "manager/store_url"),
    (MONGODB, "database/password"),
)


def secrets_of(deployment: Deployment) -> list[str]:
    """Return every secret of the installation; the last one is part of a URL, too."""
    values = [
        deployment.inside(only(deployment, service), f"cat /run/agentdock/{place}").strip()
        for service, place in PLACES
    ]
    assert all(len(value) >= 32 and " " not in value for value in values)
    assert values[-1] in values[-2]
    return values


@pytest.mark.parametrize("service", SERVICES)
def test_each_secret_is_where_it_is_needed_and_nowhere_else(
    deployment: Deployment, service: str
) -> None:
    values = secrets_of(deployment)
    container = only(deployment, service)
    readable = {
        folder
        for folder in FOLDERS
        if deployment.inside(container, f"cat /run/agentdock/{folder}/* 2>/dev/null").strip()
    }
    assert readable == CONSUMERS[service]
    environment = deployment.inspect(container, "{{json .Config.Env}}")
    assert not any(value in environment for value in values)
    logs = deployment.run("docker", "logs", container, check=False)
    assert not any(value in logs for value in values)


def test_the_first_service_reaches_nobody_and_tells_nothing(deployment: Deployment) -> None:
    [container] = deployment.compose("ps", "--all", "--quiet", INIT).split()
    config = json.loads(deployment.inspect(container, "{{json .HostConfig}}"))
    assert (config["NetworkMode"], config["CapDrop"]) == ("none", ["ALL"])
    assert config["SecurityOpt"] == ["no-new-privileges:true"]
    assert config["ReadonlyRootfs"]
    assert not config["Privileged"]
    assert not config["PortBindings"]
    assert min(config["Memory"], config["CpuQuota"], config["PidsLimit"]) > 0
    assert deployment.inspect(container, "{{.Config.User}}") == "10001:10001"
    writable = {it["Destination"] for it in mounts(deployment, container) if it["RW"]}
    assert writable == {f"/run/agentdock/{folder}" for folder in FOLDERS}
    told = deployment.inspect(container, "{{json .Config}}")
    told += deployment.run("docker", "logs", container, check=False)
    assert "secret is there" in told or "made the secret" in told
    assert not any(value in told for value in secrets_of(deployment))


def mounts(deployment: Deployment, container: str) -> list[dict[str, Any]]:
    return list(json.loads(deployment.inspect(container, "{{json .Mounts}}")))


def test_the_database_refuses_who_has_no_password(deployment: Deployment) -> None:
    program = (
        "import pymongo; c = pymongo.MongoClient('agentdock-mongodb', directConnection=True); "
        "print(c.agentdock.list_collection_names())"
    )
    said = deployment.inside(only(deployment, MANAGER), f'python -c "{program}"')
    assert "requires authentication" in said or "Unauthorized" in said, said


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_has_power_over_the_machine(deployment: Deployment, service: str) -> None:
    container = only(deployment, service)
    status = deployment.inside(container, "cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert fields["NoNewPrivs"].strip() == "1"
    assert fields["Seccomp"].strip() == "2"
    assert "0" not in fields["Uid"].split()
    assert "Read-only file system" in deployment.inside(container, "touch /usr/x /etc/x")
    config = json.loads(deployment.inspect(container, "{{json .HostConfig}}"))
    assert not config["Privileged"]
    assert not any("docker.sock" in bind for bind in config["Binds"] or [])
    assert config["Memory"] > 0
    assert config["CpuQuota"] > 0
    assert config["PidsLimit"] > 0


@pytest.mark.parametrize("service", [MANAGER, MONGODB])
def test_the_loosened_profile_is_only_where_sandboxes_run(
    deployment: Deployment, service: str
) -> None:
    config = json.loads(deployment.inspect(only(deployment, service), "{{json .HostConfig}}"))
    assert config["SecurityOpt"] == ["no-new-privileges:true"]
    assert "/proc/kcore" in config["MaskedPaths"]


@pytest.mark.parametrize("node", NODES)
def test_a_nodes_kernel_offers_namespaces_but_not_what_breaks_out(
    deployment: Deployment, node: str
) -> None:
    container = only(deployment, node)
    made = deployment.inside(container, "unshare -Urmpinuf --mount-proc sh -c 'ls -d /proc/[0-9]*'")
    assert made.split() == ["/proc/1", "/proc/2"] or made.split() == ["/proc/1"]
    node_says = told(deployment.inside(container, f"python -c '{REFUSED}'"))
    image = f"{node}:{deployment.project}"
    free = ["--security-opt", "seccomp=unconfined", "--cap-drop", "ALL", "--network", "none"]
    command = ["docker", "run", "--rm", *free, image, "python", "-c", REFUSED]
    kernel_says = told(deployment.run(*command))
    assert set(node_says.values()) == {errno.EPERM}
    assert {"ptrace", "userfaultfd", "keyctl"} <= {
        name for name, number in kernel_says.items() if number != errno.EPERM
    }


def told(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in map(str.split, text.splitlines())}
