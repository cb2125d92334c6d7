"""The settings of our tool servers: documented, handed on by the profiles, and discreet."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.sandbox.settings import SandboxSettings
from mcp_servers.web.browsing.settings import BrowserSettings
from mcp_servers.web.extracting.settings import ExtractSettings
from mcp_servers.web.settings import WebSettings
from tests.guards.source import ROOT

OF_SERVERS: dict[str, list[type[BaseSettings]]] = {
    "web": [WebSettings, FetchSettings, ExtractSettings, BrowserSettings],
    "sandbox": [SandboxSettings, FetchSettings],
}
KINDS = sorted({kind for kinds in OF_SERVERS.values() for kind in kinds}, key=str)


def variables(kind: type[BaseSettings]) -> dict[str, str]:
    """Return the variable of each field."""
    prefix = kind.model_config.get("env_prefix") or ""
    return {
        field: f"{prefix}{field}".upper()
        for field, info in kind.model_fields.items()
        # Others are what the node tells, not what a user sets.
        if info.validation_alias is None
    }


def example() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^# ([A-Z][A-Z_]+)=(.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_settings_lists_each_with_its_default(
    kind: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = example()
    names = {name for name in variables(kind).values() if not name.endswith("_FILE")}
    assert names - set(shown) == set()
    plain = kind()
    for name in names:
        monkeypatch.setenv(name, shown[name])
    assert kind() == plain


def test_the_example_lists_no_other_setting_of_tool_servers() -> None:
    known = {name for kind in KINDS for name in variables(kind).values()}
    text = (ROOT / ".env.example").read_text()
    # What Compose alone reads is held to its file by tests/guards/test_compose.py.
    sections = [part for part in text.split("\n# --- ") if not part.startswith("Containers")]
    shown = set(re.findall(r"^# ([A-Z][A-Z_]+)=", "\n".join(sections), re.MULTILINE))
    others = {name for name in shown if not name.startswith("AGENTDOCK_")}
    assert others - known == set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_describes_itself(kind: type[BaseSettings]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("server", OF_SERVERS)
@pytest.mark.parametrize("profile", ["explore", "full"])
def test_a_profile_hands_on_these_variables_and_names_no_others(profile: str, server: str) -> None:
    entries = tomllib.loads((ROOT / f"nodes/profiles/{profile}.toml").read_text())["mcpServers"]
    given = entries[server]["agentdock"]["env_pass"]
    kinds = OF_SERVERS[server]
    names = {name for kind in kinds for name in variables(kind).values()}
    names |= {
        f"{variables(kind)[field]}_FILE"
        for kind in kinds
        for field, info in kind.model_fields.items()
        if "SecretStr" in str(info.annotation)
    }
    assert {name for name in names if not any(fnmatch(name, word) for word in given)} == set()
    assert [word for word in given if not any(fnmatch(name, word) for name in names)] == []


def test_a_secret_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("key-4711\n")
    monkeypatch.setenv("SERPER_API_KEY_FILE", str(tmp_path / "key"))
    key = WebSettings().serper_api_key
    assert key is not None
    assert key.get_secret_value() == "key-4711"
    monkeypatch.setenv("SERPER_API_KEY", "key-4712")
    key = WebSettings().serper_api_key
    assert key is not None
    assert key.get_secret_value() == "key-4712"


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCH_PROXY_FILE", "/nowhere/proxy")
    with pytest.raises(ValueError, match="FETCH_PROXY_FILE: /nowhere/proxy cannot be read"):
        FetchSettings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WEB_SEARCH_PROVIDERS", "serper,altavista"),
        ("WEB_SEARCH_PROVIDERS", "ddgs:fast"),
        ("WEB_SEARCH_PROVIDERS", "ddgs:0"),
        ("SEARXNG_URL", "searxng:8080/canary"),
        ("SERPER_API_KEY", "canary\u00e9"),
        ("WEB_JINA_READER", "canary"),
    ],
)
def test_an_unusable_value_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError):
        WebSettings()


def test_providers_have_an_order_and_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_SEARCH_PROVIDERS", " brave:0.5, serper ,ddgs:2")
    assert WebSettings().providers == [("brave", 0.5), ("serper", None), ("ddgs", 2.0)]


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JINA_API_KEY", "canary-4711")
    assert "canary" not in f"{WebSettings()!r} {WebSettings().model_dump_json()}"
