"""Reading settings: each fault is one clear line that names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from wire.settings import SettingsError, SharedSettings, environment, load


class Settings(SharedSettings):
    """Settings as a service defines them."""

    model_config = SettingsConfigDict(env_prefix="AGENTDOCK_MANAGER_")

    port: int = Field(8080, ge=1, le=65535)
    api_keys: SecretStr | None = None


def test_values_come_from_the_environment() -> None:
    values = {"AGENTDOCK_MANAGER_PORT": "9000", "AGENTDOCK_LOG_LEVEL": "DEBUG", "PATH": "/bin"}
    settings = load(Settings, values)
    assert (settings.port, settings.log_level) == (9000, "DEBUG")


def test_an_empty_value_means_the_default() -> None:
    assert load(Settings, {"AGENTDOCK_MANAGER_PORT": ""}).port == 8080


@pytest.mark.parametrize("value", ["many", "0", "70000"])
def test_a_bad_value_is_one_line_that_names_the_variable(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^AGENTDOCK_MANAGER_PORT: [^\n]+$"):
        load(Settings, {"AGENTDOCK_MANAGER_PORT": value})


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("AGENTDOCK_MANAGER_PROT", "AGENTDOCK_MANAGER_PORT"),
        ("AGENTDOCK_MANGER_PORT", "AGENTDOCK_MANAGER_PORT"),
        ("AGENTDOCK_LOGLEVEL", "AGENTDOCK_LOG_LEVEL"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(name: str, near: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not a setting.*{near}"):
        load(Settings, {name: "1"})


def test_the_other_services_names_are_not_judged() -> None:
    load(Settings, {"AGENTDOCK_NODE_ANYTHING": "1", "AGENTDOCK_TEST_X": "1"})


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("0123456789abcdef\n")
    settings = load(Settings, {"AGENTDOCK_SECRET_FILE": str(file)})
    assert settings.secret is not None
    assert settings.secret.get_secret_value() == "0123456789abcdef"


def test_a_secret_file_that_is_missing_is_named() -> None:
    with pytest.raises(SettingsError, match="AGENTDOCK_SECRET_FILE: cannot read /no/such"):
        load(Settings, {"AGENTDOCK_SECRET_FILE": "/no/such"})


def test_a_bad_secret_is_never_shown() -> None:
    with pytest.raises(SettingsError) as error:
        load(Settings, {"AGENTDOCK_SECRET": "short"})
    assert "AGENTDOCK_SECRET" in str(error.value)
    assert "short" not in str(error.value).replace("shorter", "")


def test_the_environment_comes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("SOME_KEY=from-file\nOTHER_KEY=from-file\n")
    monkeypatch.setenv("SOME_KEY", "from-environment")
    values = environment(file)
    assert (values["SOME_KEY"], values["OTHER_KEY"]) == ("from-environment", "from-file")


def test_an_env_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"NAME=caf\xe9\n")
    with pytest.raises(SettingsError, match="must be UTF-8 text"):
        environment(file)
