from __future__ import annotations

from pathlib import Path

import pytest

from manager.launchers.base import NodeSpec
from manager.settings import ManagerSettings
from wire.settings import SettingsError, load

KEYS = "alice:agent:alice-key-0123456789"
ADMIN_KEY = "k" * 32


def read(**variables: str) -> ManagerSettings:
    environ = {f"AGENTDOCK_MANAGER_{name}": value for name, value in variables.items()}
    return load(ManagerSettings, environ)


def test_the_defaults_serve_this_machine_without_a_key() -> None:
    settings = read()
    assert settings.url == "http://127.0.0.1:8080"
    assert settings.loopback
    assert settings.anonymous
    assert settings.store.get_secret_value().endswith("/data/agentdock.db")
    assert settings.nodes == (
        NodeSpec("explore", "explore", 8014),
        NodeSpec("full", "full", 8004),
    )


def test_a_key_ends_anonymous_calls_unless_they_are_asked_for() -> None:
    assert not read(API_KEYS=KEYS).anonymous
    assert read(API_KEYS=KEYS, ALLOW_ANONYMOUS="true").anonymous


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "manager"])
def test_other_machines_are_served_only_with_keys(host: str) -> None:
    with pytest.raises(SettingsError, match=r"^AGENTDOCK_MANAGER_API_KEYS: .*not loopback"):
        read(HOST=host)
    assert not read(HOST=host, API_KEYS=KEYS).anonymous
    assert read(HOST=host, ALLOW_ANONYMOUS="true").anonymous


def test_where_an_engine_publishes_it_decides_whether_keys_are_needed() -> None:
    inside = read(HOST="0.0.0.0", PUBLISHED_HOST="127.0.0.1")
    assert inside.anonymous
    assert inside.loopback
    with pytest.raises(SettingsError, match=r"AGENTDOCK_MANAGER_HOST=192\.0\.2\.1 is not loopback"):
        read(HOST="0.0.0.0", PUBLISHED_HOST="192.0.2.1", ADMIN_KEY=ADMIN_KEY)


def test_an_administrators_key_leaves_anonymous_agents_in() -> None:
    settings = read(ADMIN_KEY=ADMIN_KEY)
    assert settings.anonymous
    assert [(key.name, key.role) for key in settings.keys] == [("admin", "admin")]
    assert [key.name for key in read(API_KEYS=KEYS, ADMIN_KEY=ADMIN_KEY).keys] == ["alice", "admin"]
    assert not read(API_KEYS=KEYS, ADMIN_KEY=ADMIN_KEY).anonymous


@pytest.mark.parametrize("taken", ["admin:agent:alice-key-0123456789", f"ops:admin:{'k' * 32}"])
def test_an_administrators_key_is_neither_named_nor_given_twice(taken: str) -> None:
    with pytest.raises(SettingsError, match=r"^AGENTDOCK_MANAGER_ADMIN_KEY: two entries"):
        read(API_KEYS=taken, ADMIN_KEY=ADMIN_KEY)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ADMIN_KEY", "short"),
        ("PORT", "http"),
        ("PORT", "70000"),
        ("STORE_URL", "postgres://localhost"),
        ("LAUNCHER", "docker"),
        ("LOCAL_NODES", "explore"),
        ("LOCAL_NODES", "explore:x"),
        ("LOCAL_NODES", "explore:8014,full:8014"),
        ("LOCAL_NODES", "./my.tools.toml:8014"),
        ("LOCAL_NODES", f"/p/{'long' * 16}.toml:8014"),
        ("LOCAL_NODES", "explore:1,explore:2,/p/explore-1.toml:3"),
        ("RECORD_DAYS", "0"),
        ("API_KEYS", "alice"),
        ("ALLOW_ANONYMOUS", "perhaps"),
        ("MAX_IN_FLIGHT", "-1"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(**{variable: value})
    assert str(refused.value).startswith(f"AGENTDOCK_MANAGER_{variable}: ")
    assert "\n" not in str(refused.value)


def test_the_managers_port_cannot_be_a_nodes_as_well() -> None:
    with pytest.raises(SettingsError, match="AGENTDOCK_MANAGER_LOCAL_NODES"):
        read(PORT="8014")
    assert read(PORT="8014", LAUNCHER="external").port == 8014


def test_a_key_never_shows_in_the_settings_or_their_errors() -> None:
    assert "alice-key" not in repr(read(API_KEYS=KEYS))
    with pytest.raises(SettingsError) as refused:
        read(API_KEYS=KEYS.replace("agent", "boss"))
    assert "alice-key" not in str(refused.value)


def test_a_password_of_the_store_never_shows_in_the_settings_or_their_errors() -> None:
    url = "mongodb://alice:very-secret@db/x"
    settings = read(STORE_URL=url)
    assert settings.store.get_secret_value() == url
    assert "very-secret" not in repr(settings)
    with pytest.raises(SettingsError, match=r"^AGENTDOCK_MANAGER_STORE_URL: ") as refused:
        read(STORE_URL="mongodb://alice:very-secret/@db")
    assert "very-secret" not in str(refused.value)


def test_the_url_of_the_store_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("mongodb+srv://alice:very-secret@cluster.example\n")
    settings = read(STORE_URL_FILE=str(tmp_path / "url"))
    assert settings.store.get_secret_value().endswith("@cluster.example")


def test_nodes_of_one_profile_are_told_apart_by_their_ports() -> None:
    nodes = read(LOCAL_NODES="explore:1,explore:2,/p/mine.toml:3").nodes
    assert [node.id for node in nodes] == ["explore-1", "explore-2", "mine"]
    assert nodes[2].profile == "/p/mine.toml"


def test_nodes_reach_a_manager_that_listens_everywhere_over_loopback() -> None:
    settings = read(HOST="0.0.0.0", API_KEYS=KEYS, ALLOWED_HOSTS="Tools.example, agentdock")
    assert settings.url == "http://127.0.0.1:8080"
    assert {"tools.example", "agentdock"} <= settings.hosts


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert read(HOST="::1").url == "http://[::1]:8080"
