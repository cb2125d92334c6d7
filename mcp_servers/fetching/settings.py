"""The settings of the fetcher: `FETCH_*` in the environment of the tool server that fetches."""

from __future__ import annotations

import re

import httpx
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from mcp_servers.fetching.guard import DEFAULT_PORTS, looks_inner
from mcp_servers.fetching.secret_files import SecretFileSettings

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?", re.IGNORECASE)


class FetchSettings(SecretFileSettings):
    """Everything that can be set about fetching. Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="FETCH_", frozen=True, env_ignore_empty=True)

    user_agent: str = Field(
        "Mozilla/5.0 (compatible; AgentDock)",
        pattern=r"^[ -~]+$",
        description="How the fetcher introduces itself.",
    )
    allowed_hosts: str = Field(
        "",
        description="Inner hosts that may be fetched, host or host:port, separated by commas.",
    )
    allowed_ports: str = Field(
        "80,443,8000,8080,8443,8888",
        pattern=r"^\s*\d+(\s*,\s*\d+)*\s*$",
        description="Ports of public hosts that may be fetched from.",
    )
    proxy: SecretStr | None = Field(
        None,
        description="http://[user:password@]host:port of a proxy for all but the inner hosts.",
    )
    deadline_s: float = Field(30.0, gt=0, le=600, description="Time for a whole fetch.")
    wait_s: float = Field(
        30.0, gt=0, le=600, description="Time to wait for a turn at a host, beside the deadline."
    )
    max_bytes: int = Field(20_000_000, gt=0, description="Largest answer, unpacked.")
    max_redirects: int = Field(5, ge=0, le=20, description="Most redirects of a fetch.")
    attempts: int = Field(3, ge=1, le=10, description="Tries of a request that may be repeated.")
    connections: int = Field(200, ge=1, description="Most connections at a time.")
    host_connections: int = Field(6, ge=1, description="Most connections to a host at a time.")
    host_rate: float = Field(10.0, gt=0, description="Most requests to a host in a second.")
    robots: bool = Field(False, description="Whether robots.txt is obeyed.")

    @field_validator("allowed_hosts")
    @classmethod
    def _names_hosts(cls, value: str) -> str:
        for part in _parts(value):
            if not _HOST.fullmatch(part):
                raise ValueError(f"{part!r} is neither host nor host:port")
        return value

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        # The value may hold a password, so the message does not.
        try:
            url = httpx.URL(value.get_secret_value()) if value else None
        except httpx.InvalidURL:
            raise ValueError("not a URL") from None
        if url is not None and (url.scheme not in ("http", "https") or not url.host):
            raise ValueError("it must be http://[user:password@]host:port")
        return value

    @property
    def inner_hosts(self) -> frozenset[tuple[str, int | None]]:
        """Host and port of each inner host; None as port means any."""
        found = [_HOST.fullmatch(part) for part in _parts(self.allowed_hosts)]
        return frozenset(
            (match[1].strip("[]").lower(), int(match[2]) if match[2] else None)
            for match in found
            if match
        )

    def proxy_to(self, endpoint: str) -> str | None:
        """Return the proxy to an endpoint that a setting names; None where it is asked directly.

        That is so inside, where no proxy leads: what is allowed by name, and what is inner by the
        look of its host, such as `127.0.0.1` or `searxng`.
        """
        url = httpx.URL(endpoint)
        port = url.port or DEFAULT_PORTS.get(url.scheme)
        if self.inner_hosts & {(url.host.lower(), port), (url.host.lower(), None)}:
            return None
        if self.proxy is None or looks_inner(url.host):
            return None
        return self.proxy.get_secret_value()

    @property
    def ports(self) -> frozenset[int]:
        """The ports of public hosts."""
        return frozenset(map(int, _parts(self.allowed_ports)))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
