from __future__ import annotations

import sys

import pytest

from manager.app import create_store
from manager.settings import ManagerSettings
from manager.stores.address import parse
from manager.stores.mongo import MongoStore
from wire.settings import SettingsError, load


@pytest.mark.parametrize(
    ("url", "name", "database"),
    [
        ("mongodb://db", "mongodb://db/agentdock", "agentdock"),
        ("mongodb://db:27017/", "mongodb://db:27017/agentdock", "agentdock"),
        ("mongodb://u:p@a:1,b:2,c/x?replicaSet=r", "mongodb://a:1,b:2,c/x", "x"),
        ("mongodb+srv://u:p%40w@cluster.example/", "mongodb+srv://cluster.example/agentdock", None),
        ("mongodb://[::1]:27017/x?tls=true", "mongodb://[::1]:27017/x", "x"),
    ],
)
def test_a_url_names_hosts_and_a_database(url: str, name: str, database: str | None) -> None:
    address = parse(url)
    assert address.name == name
    assert address.database == (database or "agentdock")
    assert address.url == url


def test_options_of_the_url_are_known_by_name() -> None:
    assert parse("mongodb://db/?timeoutMS=5&w=1").options == {"timeoutms", "w"}


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://",
        "mongodb://alice:very-secret/@db",
        "mongodb://alice:very?secret@db",
        "mongodb://alice:very-secret@@db/x",
        "mongodb://alice:very-secret@db/a/b",
        "mongodb://alice:very-secret@db/a b",
        "mongodb://alice:very-secret@db/a.b",
        "http://alice:very-secret@db",
    ],
)
def test_a_url_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="not of the form") as refused:
        parse(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://alice:very-secret@db:port/x",
        "mongodb://alice:very-secret@db/x?timeoutMS=very-secret",
        "mongodb://alice:very:secret@db/x",
    ],
)
def test_what_the_driver_refuses_is_told_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="refuses the URL of mongodb://db") as refused:
        MongoStore(parse(url))
    assert "secret" not in str(refused.value)


def read(url: str) -> ManagerSettings:
    return load(ManagerSettings, {"AGENTDOCK_MANAGER_STORE_URL": url})


def test_mongodb_without_its_driver_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "manager.stores.mongo", None)
    with pytest.raises(SettingsError, match=r"^AGENTDOCK_MANAGER_STORE_URL: .*motor"):
        create_store(read("mongodb://db"))


def test_a_url_that_the_driver_refuses_is_one_clear_line() -> None:
    with pytest.raises(SettingsError, match=r"^AGENTDOCK_MANAGER_STORE_URL: .*mongodb://db/x"):
        create_store(read("mongodb://a:b@db/x?timeoutMS=never"))
