"""Settings whose secrets may stand in files: `NAME_FILE` names the file that holds `NAME`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource


class SecretFileSettings(BaseSettings):
    """Settings of the environment, which come before those of files."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from arguments, then the environment, then files of secrets."""
        return init_settings, env_settings, SecretFiles(settings_cls)


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the files that `NAME_FILE` names, for the secrets among the settings."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the secret of a field, if there is a file for it.

        Raises:
            ValueError: the file cannot be read.
        """
        prefix = self.config.get("env_prefix") or ""
        name = f"{prefix}{field_name}".upper() + "_FILE"
        path = os.environ.get(name)
        if not path or "SecretStr" not in str(field.annotation):
            return None, field_name, False
        try:
            return Path(path).read_text().strip() or None, field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{name}: {path} cannot be read: {type(error).__name__}") from None

    def __call__(self) -> dict[str, Any]:
        """Return what was found."""
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value, _, _ = self.get_field_value(field, name)
            if value is not None:
                found[name] = value
        return found
