"""The settings of extraction: `SUMMARY_*` in the environment of the server that reads pages."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

CHAT = "/chat/completions"


class ExtractSettings(BaseSettings):
    """Everything that can be set about extraction. Times are in seconds, sizes in tokens."""

    model_config = SettingsConfigDict(env_prefix="SUMMARY_", frozen=True, env_ignore_empty=True)

    llm_base_url: str | None = Field(
        None, description="Any OpenAI-compatible endpoint; unset, passages are shown as they are."
    )
    llm_model_name: str = Field("", description="Name of the model at that endpoint.")
    llm_api_key: SecretStr | None = Field(None, description="Key for that endpoint.")
    llm_api_key_file: Path | None = Field(None, description="A file that holds the key.")
    llm_deadline_s: float = Field(
        60.0, gt=0, le=600, description="Time for an extraction with the model, tries included."
    )
    llm_attempts: int = Field(
        3, ge=1, le=10, description="Tries of a request whose failure may pass."
    )
    llm_connections: int = Field(32, ge=1, description="Most requests to the model at a time.")
    answer_tokens: int = Field(2048, ge=64, description="Longest answer of the model.")
    whole_page_tokens: int = Field(
        12_000, ge=500, description="Longest page that the model gets as a whole."
    )
    passage_tokens: int = Field(
        7000, ge=500, description="How much of a longer page the model gets."
    )
    extractive_tokens: int = Field(
        2000, ge=100, description="How much of a page is shown when no model answers."
    )

    @field_validator("llm_base_url")
    @classmethod
    def _is_an_endpoint(cls, value: str | None) -> str | None:
        # A URL may hold a password, so the message does not quote it.
        try:
            url = httpx.URL(value) if value else None
        except httpx.InvalidURL:
            raise ValueError("not a URL") from None
        if url is not None and (url.scheme not in ("http", "https") or not url.host):
            raise ValueError("it must be http://host/v1 or http://host/v1/chat/completions")
        return value

    @field_validator("llm_api_key")
    @classmethod
    def _travels_in_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not (value.get_secret_value().isascii()):
            raise ValueError("only ASCII characters can be sent in a header")
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.llm_base_url and not self.llm_model_name:
            raise ValueError("SUMMARY_LLM_BASE_URL needs SUMMARY_LLM_MODEL_NAME beside it")
        return self

    @property
    def chat_url(self) -> str | None:
        """The URL that takes the requests, whether the setting names it or only `/v1`."""
        if not self.llm_base_url:
            return None
        url = httpx.URL(self.llm_base_url)
        path = url.path.rstrip("/")
        if not path.endswith(CHAT):
            path = (path or "/v1") + CHAT
        return str(url.copy_with(path=path))

    def key(self) -> str | None:
        """Return the key, from the variable or from the file.

        Raises:
            OSError: the file cannot be read.
        """
        if self.llm_api_key is not None:
            return self.llm_api_key.get_secret_value().strip() or None
        if self.llm_api_key_file is not None:
            return self.llm_api_key_file.read_text("ascii").strip() or None
        return None
