"""The settings of the web server: keys and addresses under the names people know, and `WEB_*`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import httpx
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from mcp_servers.fetching.secret_files import SecretFileSettings

PROVIDERS = {
    "serper": "SERPER_API_KEY",
    "searxng": "SEARXNG_URL",
    "brave": "BRAVE_API_KEY",
    "tavily": "TAVILY_API_KEY",
    "jina": "JINA_API_KEY",
    "ddgs": "",
}
"""Each search provider with the variable that makes it usable; none is needed for ddgs."""


class WebSettings(SecretFileSettings):
    """Everything that can be set about the web. Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    serper_api_key: SecretStr | None = Field(None, description="Key of Serper.")
    serper_base_url: str = Field("https://google.serper.dev", description="Where Serper is.")
    searxng_url: str | None = Field(None, description="Address of a SearXNG of one's own.")
    brave_api_key: SecretStr | None = Field(None, description="Key of Brave Search.")
    brave_base_url: str = Field("https://api.search.brave.com", description="Where Brave is.")
    tavily_api_key: SecretStr | None = Field(None, description="Key of Tavily.")
    tavily_base_url: str = Field("https://api.tavily.com", description="Where Tavily is.")
    jina_api_key: SecretStr | None = Field(None, description="Key of Jina: search and Reader.")
    jina_base_url: str = Field("https://r.jina.ai", description="Where Jina's Reader is.")
    jina_search_url: str = Field("https://s.jina.ai", description="Where Jina's search is.")

    remove_snippets: bool = Field(False, description="Whether results lose their snippets.")
    remove_knowledge_graph: bool = Field(False, description="Whether `knowledgeGraph` goes.")
    remove_answer_box: bool = Field(False, description="Whether `answerBox` goes.")

    web_search_providers: str = Field(
        "serper,searxng,brave,tavily,jina,ddgs:1",
        description="Whom to ask, in this order; `name:n` for at most n requests in a second.",
    )
    web_search_deadline_s: float = Field(30.0, gt=0, le=600, description="Time for a search.")
    web_provider_deadline_s: float = Field(
        10.0, gt=0, le=600, description="Time for one request to a provider."
    )
    web_ddgs_engines: str = Field("auto", description="Which engines ddgs reads.")
    web_blocked_links: str = Field(
        "huggingface.co/datasets,huggingface.co/spaces",
        description="Links that are neither shown nor read: host or host/path.",
    )
    web_read_deadline_s: float = Field(90.0, gt=0, le=600, description="Time to read a page.")
    web_jina_reader: Literal["fallback", "first", "off"] = Field(
        "fallback", description="When Jina's Reader is asked for a page."
    )
    web_readers: int = Field(
        2, ge=1, le=64, description="Processes that turn documents into Markdown."
    )
    web_max_pdf_bytes: int = Field(50_000_000, gt=0, description="Largest PDF.")
    web_cache: bool = Field(True, description="Whether results are kept.")
    web_cache_dir: Path | None = Field(None, description="Folder of the cache.")
    web_cache_max_bytes: int = Field(500_000_000, gt=0, description="Most bytes that are kept.")

    @field_validator(
        "serper_base_url",
        "searxng_url",
        "brave_base_url",
        "tavily_base_url",
        "jina_base_url",
        "jina_search_url",
    )
    @classmethod
    def _is_an_endpoint(cls, value: str | None) -> str | None:
        # An address may hold a password, so the message does not quote it.
        try:
            url = httpx.URL(value) if value else None
        except httpx.InvalidURL:
            raise ValueError("not a URL") from None
        if url is not None and (url.scheme not in ("http", "https") or not url.host):
            raise ValueError("it must begin with http:// or https://")
        return value

    @field_validator("web_search_providers")
    @classmethod
    def _names_providers(cls, value: str) -> str:
        for name, _ in _listed(value):
            if name not in PROVIDERS:
                raise ValueError(f"{name!r} is none of {', '.join(PROVIDERS)}")
        return value

    @field_validator("serper_api_key", "brave_api_key", "tavily_api_key", "jina_api_key")
    @classmethod
    def _travels_in_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        key = value.get_secret_value().strip()
        if not (key.isascii() and key.isprintable()):
            raise ValueError("only printable ASCII can be sent in a header")
        return SecretStr(key)

    @property
    def providers(self) -> list[tuple[str, float | None]]:
        """The names of search providers in their order, each with its requests in a second."""
        return _listed(self.web_search_providers)

    @property
    def blocked_links(self) -> list[str]:
        """The patterns of links that nobody gets."""
        return [part.strip() for part in self.web_blocked_links.split(",") if part.strip()]


def _listed(text: str) -> list[tuple[str, float | None]]:
    found: list[tuple[str, float | None]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, rate = part.partition(":")
        try:
            limit = float(rate) if rate else None
        except ValueError:
            limit = 0.0
        if limit is not None and not 0 < limit < float("inf"):
            raise ValueError(f"{part!r}: after the colon stands a number of requests in a second")
        found.append((name.strip().lower(), limit))
    return found
