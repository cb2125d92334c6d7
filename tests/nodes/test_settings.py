"""The settings of a node: defaults that agree with each other, and one line for each fault."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from nodes.settings import NodeSettings, load_settings
from wire.models import NODE_ID
from wire.settings import SettingsError

SECRET = "0123456789abcdef"


def load(folder: Path, **environ: str) -> NodeSettings:
    return load_settings({"AGENTDOCK_DATA_DIR": str(folder), **environ})


def node(folder: Path, **fields: str) -> NodeSettings:
    environ = {f"AGENTDOCK_NODE_{name.upper()}": value for name, value in fields.items()}
    return load(folder, AGENTDOCK_SECRET=SECRET, **environ)


@pytest.mark.parametrize(
    ("fields", "port", "stem"),
    [
        ({}, 8014, "explore-"),
        ({"profile": "full"}, 8004, "full-"),
        ({"profile": "/etc/my own.toml"}, 8014, "my-own-"),
        ({"profile": "full", "port": "9"}, 9, "full-"),
    ],
)
def test_port_and_id_follow_the_profile(
    tmp_path: Path, fields: dict[str, str], port: int, stem: str
) -> None:
    settings = node(tmp_path, **fields)
    assert settings.listen_port == port
    assert settings.node_id.startswith(stem)
    assert re.fullmatch(NODE_ID, settings.node_id)


def test_the_address_for_others_follows_host_and_port(tmp_path: Path) -> None:
    assert node(tmp_path).url == "http://127.0.0.1:8014"
    assert node(tmp_path, host="::1", port="9").url == "http://[::1]:9"
    assert node(tmp_path, advertise_url="http://node-1:80/").url == "http://node-1:80"
    for anywhere in ("0.0.0.0", "::"):
        assert node(tmp_path, host=anywhere).url == f"http://{socket.gethostname()}:8014"


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("::", False)]
)
def test_loopback_is_told_from_the_rest(tmp_path: Path, host: str, loopback: bool) -> None:
    assert node(tmp_path, host=host).is_loopback is loopback


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENTDOCK_NODE_PORT", "eighty"),
        ("AGENTDOCK_NODE_ID", "a b"),
        ("AGENTDOCK_NODE_MANAGER_URL", "manager:8080"),
        ("AGENTDOCK_NODE_RESTART_GIVE_UP", "0"),
        ("AGENTDOCK_NODE_REPORT_EVERY_S", "31"),
        ("AGENTDOCK_NODE_PROFIL", "full"),
    ],
)
def test_a_bad_value_is_one_line_that_names_its_variable(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, AGENTDOCK_SECRET=SECRET, **{name: value})
    assert str(caught.value).startswith(name)
    assert "\n" not in str(caught.value)


def test_the_variables_that_entries_of_the_api_may_read_are_named(tmp_path: Path) -> None:
    assert node(tmp_path).expandable == frozenset()
    assert node(tmp_path, expandable_vars=" A_KEY, B,").expandable == {"A_KEY", "B"}


def test_the_stored_secret_is_used_if_none_is_set(tmp_path: Path) -> None:
    assert load(tmp_path).secret is None
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    secret = load(tmp_path).secret
    assert secret is not None
    assert secret.get_secret_value() == SECRET
    assert SECRET not in repr(load(tmp_path))


def test_a_stored_secret_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short")
    with pytest.raises(SettingsError, match="AGENTDOCK_SECRET"):
        load(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [{"AGENTDOCK_NODE_HOST": "0.0.0.0"}, {"AGENTDOCK_NODE_MANAGER_URL": "http://127.0.0.1:8080"}],
)
def test_a_node_that_others_reach_or_that_joins_needs_a_secret(
    tmp_path: Path, fields: dict[str, str]
) -> None:
    with pytest.raises(SettingsError, match="AGENTDOCK_SECRET: must be set"):
        load(tmp_path, **fields)
