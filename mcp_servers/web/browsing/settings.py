"""The settings of the browser: `BROWSER_*` in the environment of the server that reads pages."""

from __future__ import annotations

import shutil

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

NAMES = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")


class BrowserSettings(BaseSettings):
    """Everything that can be set about the browser. Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="BROWSER_", frozen=True, env_ignore_empty=True)

    enabled: bool = Field(True, description="Whether a browser is used where there is one.")
    executable: str = Field("", description="Path of Chromium; unset, it is looked for in PATH.")
    pages: int = Field(4, ge=1, le=64, description="Most pages at a time; others wait.")
    idle_s: float = Field(60.0, gt=0, description="Time without a page after which it ends.")
    page_requests: int = Field(300, ge=1, description="Most requests of a page.")
    page_bytes: int = Field(30_000_000, ge=1000, description="Most bytes that a page may load.")
    dom_chars: int = Field(
        5_000_000, ge=1000, description="Most characters that are taken of a rendered page."
    )
    memory_bytes: int = Field(
        2_000_000_000, ge=200_000_000, description="Memory beyond which the largest page is killed."
    )

    def found(self) -> str | None:
        """Return the path of Chromium, None if there is none or it shall not be used."""
        if not self.enabled:
            return None
        names = (self.executable,) if self.executable else NAMES
        return next(filter(None, map(shutil.which, names)), None)
