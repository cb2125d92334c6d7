"""Settings that manager and nodes share, and how they are read: one clear line for each fault."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "AGENTDOCK_"
FOREIGN = ("AGENTDOCK_TEST_", "AGENTDOCK_BENCH_")
"""Names under our prefix that only tests and benchmarks read."""

SECTIONS = ("AGENTDOCK_MANAGER_", "AGENTDOCK_NODE_")


class SettingsError(Exception):
    """The settings are not usable; the text names each variable and what to do."""


class SharedSettings(BaseSettings):
    """Settings of both manager and node. Subclasses add theirs under their own prefix."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    secret: SecretStr | None = Field(
        None,
        validation_alias="AGENTDOCK_SECRET",
        min_length=16,
        description="Manager and nodes authenticate each other with it; it signs handles.",
    )
    data_dir: Path = Field(
        Path("data"),
        validation_alias="AGENTDOCK_DATA_DIR",
        description="Folder for everything that is kept: store, logs, files.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="AGENTDOCK_LOG_LEVEL", description="Least severe level logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        validation_alias="AGENTDOCK_LOG_FORMAT",
        description="One line an event, as text or JSON.",
    )

    @field_validator("secret")
    @classmethod
    def _travels_in_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().isascii():
            raise ValueError("only ASCII characters can be sent in a header")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from `load` alone, which also finds unknown names and secrets in files."""
        return (init_settings,)


S = TypeVar("S", bound=SharedSettings)


def environment(env_file: Path = Path(".env")) -> dict[str, str]:
    """Return the process environment with the values of `.env` beneath it.

    Raises:
        SettingsError: `.env` is there and cannot be read.
    """
    try:
        values = dotenv_values(env_file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{env_file} cannot be read: {error}. It must be UTF-8 text.") from None
    beneath = {name: value for name, value in values.items() if value is not None}
    return {**beneath, **os.environ}


def names(kind: type[SharedSettings]) -> dict[str, str]:
    """Return the variable's name for each field of a settings class."""
    section = str(kind.model_config.get("env_prefix") or "")
    return {
        field: str(info.validation_alias or section + field.upper())
        for field, info in kind.model_fields.items()
    }


def load(kind: type[S], environ: Mapping[str, str]) -> S:
    """Build settings from the environment. `NAME_FILE` gives a secret's value from a file.

    Raises:
        SettingsError: a value is bad, or a name under our prefix is unknown.
    """
    known = names(kind)
    _refuse_unknown(kind, environ, known)
    values: dict[str, Any] = {}
    for field, name in known.items():
        if environ.get(name):
            values[field] = environ[name]
        elif environ.get(f"{name}_FILE") and _is_secret(kind, field):
            values[field] = _read_secret(f"{name}_FILE", environ[f"{name}_FILE"])
    try:
        return kind(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_faults(error, known))) from None


def _faults(error: ValidationError, known: Mapping[str, str]) -> list[str]:
    """Return a line for each fault, which names the variable and never its value."""
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        field = str(fault["loc"][0]) if fault["loc"] else ""
        name = known.get(field, field)
        message = fault["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message}" if name else message)
    return lines


def _is_secret(kind: type[SharedSettings], field: str) -> bool:
    return "SecretStr" in str(kind.model_fields[field].annotation)


def _read_secret(name: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{name}: cannot read {path}: {error.strerror}") from None


def _refuse_unknown(
    kind: type[SharedSettings], environ: Mapping[str, str], known: Mapping[str, str]
) -> None:
    """Refuse names under our prefix that nobody reads; the other section is not ours to judge."""
    own = str(kind.model_config.get("env_prefix") or PREFIX)
    others = tuple(section for section in SECTIONS if section != own) + FOREIGN
    accepted = set(known.values()) | {
        f"{name}_FILE" for field, name in known.items() if _is_secret(kind, field)
    }
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name.startswith(others) or name in accepted:
            continue
        near = difflib.get_close_matches(name, accepted, n=1, cutoff=0)
        raise SettingsError(f"{name} is not a setting. Did you mean {near[0]}?")
