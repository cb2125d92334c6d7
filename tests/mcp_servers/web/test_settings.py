"""The example of settings lists those of extraction and of the browser, with their defaults."""

from __future__ import annotations

import re

import pytest
from pydantic_settings import BaseSettings

from mcp_servers.web.browsing.settings import BrowserSettings
from mcp_servers.web.extracting.settings import ExtractSettings
from tests.guards.source import ROOT

KINDS: list[type[BaseSettings]] = [ExtractSettings, BrowserSettings]
TOLD_IN_WORDS = {"SUMMARY_LLM_API_KEY_FILE"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_lists_every_setting_with_its_default(
    kind: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / ".env.example").read_text()
    prefix = kind.model_config["env_prefix"]
    shown = dict(re.findall(rf"^# ({prefix}[A-Z_]+)=(.*)$", text, re.MULTILINE))
    names = {f"{prefix}{name}".upper() for name in kind.model_fields}
    assert set(shown) == names - TOLD_IN_WORDS
    assert all(name in text for name in names)
    for name, value in shown.items():
        monkeypatch.setenv(name, value)
    assert kind() == kind.model_construct()


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_describes_itself(kind: type[BaseSettings]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []
