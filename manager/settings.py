"""The manager's settings. Only `__main__` and tests build them."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from manager.access import ApiKey, parse_keys
from manager.launchers.base import NodeSpec
from manager.stores.address import SCHEMES, parse
from wire.models import NODE_ID
from wire.serving import is_loopback
from wire.settings import SharedSettings

SQLITE = "sqlite:///"
ANY_ADDRESS = ("0.0.0.0", "::", "")


class ManagerSettings(SharedSettings):
    """Settings under `AGENTDOCK_MANAGER_`, beside those shared with nodes."""

    model_config = SettingsConfigDict(env_prefix="AGENTDOCK_MANAGER_")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on.")
    published_host: str | None = Field(
        None,
        description="Address where a container engine publishes the manager: it, not the one to "
        "listen on, decides whether callers need keys.",
    )
    store_url: SecretStr | None = Field(
        None,
        description="Where the registry is kept: sqlite:///path, mongodb:// or mongodb+srv://; "
        "sqlite:///<data dir>/agentdock.db if unset.",
    )
    allow_anonymous: bool | None = Field(
        None,
        description="Whether callers need no key; if unset: yes on loopback while no key is set.",
    )
    api_keys: SecretStr | None = Field(
        None,
        validate_default=True,
        description="Keys, name:role:key, separated by commas; role agent or admin.",
    )
    admin_key: SecretStr | None = Field(
        None,
        description="One more key, of the role admin; callers without a key stay as they were, "
        "but do not administer.",
    )
    launcher: Literal["process", "external"] = Field(
        "process", description="Who starts nodes: process (the manager) or external (you)."
    )
    local_nodes: str = Field(
        "explore:8014,full:8004", description="What launcher process starts: profile:port, ..."
    )
    allowed_hosts: str = Field(
        "", description="Further host names that the manager answers for, separated by commas."
    )
    allowed_origins: str = Field(
        "", description="Origins of web pages that may call, separated by commas."
    )
    record_bodies: bool = Field(
        False, description="Whether call records keep arguments and results."
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="Where spans of calls are sent by OTLP over HTTP, such as "
        "http://127.0.0.1:4318; needs the extra `otel`.",
    )
    docker_socket: Path = Field(
        Path("/var/run/docker.sock"),
        description="Docker engine that /api/resources/docker asks; nothing else needs one.",
    )
    record_days: float = Field(30, gt=0, description="Days that call records are kept.")
    lost_after_s: float = Field(
        3.0, gt=0, le=60, description="Seconds of silence after which a node is probed."
    )
    max_body_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="Longest request body, in bytes."
    )
    max_in_flight: int = Field(
        20_000, ge=1, description="Most calls at a time; more are refused with 503."
    )
    drain_s: float = Field(
        5.0, ge=0, le=600, description="Seconds that running calls get when the manager ends."
    )

    @field_validator("api_keys")
    @classmethod
    def _keys_are_usable(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        keys = parse_keys(value.get_secret_value()) if value else ()
        host = info.data.get("published_host") or info.data.get("host", "")
        if not keys and not is_loopback(host) and not info.data.get("allow_anonymous"):
            raise ValueError(
                f"needed because AGENTDOCK_MANAGER_HOST={host} is not loopback: set name:role:key, "
                "such as AGENTDOCK_MANAGER_API_KEYS=me:agent:KEY with what `openssl rand -hex 24` "
                "prints for KEY, or AGENTDOCK_MANAGER_ALLOW_ANONYMOUS=true to serve everybody"
            )
        return value

    @field_validator("admin_key")
    @classmethod
    def _key_is_usable(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        keys = info.data.get("api_keys")
        all_keys(keys.get_secret_value() if keys else "", value)
        return value

    @field_validator("local_nodes")
    @classmethod
    def _nodes_are_usable(cls, value: str) -> str:
        parse_local_nodes(value)
        return value

    @field_validator("store_url")
    @classmethod
    def _store_is_known(cls, value: SecretStr | None) -> SecretStr | None:
        url = value.get_secret_value() if value else SQLITE
        if url.startswith(SCHEMES):
            parse(url)
        elif not url.startswith(SQLITE):
            raise ValueError(
                "only sqlite:///path, sqlite:///:memory:, mongodb://... and mongodb+srv://... "
                "are supported"
            )
        return value

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        nodes = parse_local_nodes(self.local_nodes) if self.launcher == "process" else ()
        if self.port in [node.port for node in nodes]:
            raise ValueError(
                f"AGENTDOCK_MANAGER_PORT={self.port} is also named in AGENTDOCK_MANAGER_LOCAL_NODES"
            )
        return self

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the manager."""
        return is_loopback(self.published_host or self.host)

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """The keys of agents and administrators."""
        return all_keys(self.api_keys.get_secret_value() if self.api_keys else "", self.admin_key)

    @property
    def anonymous(self) -> bool:
        """Whether callers without a key are let in."""
        if self.allow_anonymous is not None:
            return self.allow_anonymous
        return self.loopback and not self.api_keys

    @property
    def store(self) -> SecretStr:
        """The URL of the store, which may hold a password."""
        unset = SecretStr(f"{SQLITE}{self.data_dir.absolute()}/agentdock.db")
        return self.store_url or unset

    @property
    def nodes(self) -> tuple[NodeSpec, ...]:
        """The nodes that the `process` launcher should start."""
        return parse_local_nodes(self.local_nodes)

    @property
    def url(self) -> str:
        """Where a process on this machine reaches the manager."""
        host = "127.0.0.1" if self.host in ANY_ADDRESS else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        """Host names that the manager answers for, beside the loopback names."""
        own = () if self.loopback else (self.host, socket.gethostname())
        return frozenset(name.lower() for name in (*own, *split(self.allowed_hosts)))

    @property
    def origins(self) -> frozenset[str]:
        """Origins of web pages that may call, beside the manager's own."""
        return frozenset(split(self.allowed_origins))


def all_keys(text: str, admin_key: SecretStr | None) -> tuple[ApiKey, ...]:
    """Read the keys in `text`, and the one of the administrator, whose name is `admin`.

    Raises:
        ValueError: see `parse_keys`.
    """
    admin = f"admin:admin:{admin_key.get_secret_value()}" if admin_key else ""
    return parse_keys(f"{text}\n{admin}")


def split(text: str) -> list[str]:
    """Return the parts of a list separated by commas, without blanks."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_local_nodes(text: str) -> tuple[NodeSpec, ...]:
    """Read `profile:port, ...`.

    A node is named after its profile, and its port as well if several share the profile.

    Raises:
        ValueError: saying which entry is wrong.
    """
    pairs: list[tuple[str, str, int]] = []
    for entry in split(text):
        profile, _, port = entry.rpartition(":")
        if not profile or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{entry!r} is not of the form profile:port")
        pairs.append((Path(profile).stem, profile, int(port)))
    if len({port for _, _, port in pairs}) != len(pairs):
        raise ValueError("two nodes have the same port")
    stems = [stem for stem, _, _ in pairs]
    nodes = tuple(
        NodeSpec(stem if stems.count(stem) == 1 else f"{stem}-{port}", profile, port)
        for stem, profile, port in pairs
    )
    for node in nodes:
        if not re.fullmatch(NODE_ID, node.id):
            raise ValueError(
                f"{node.profile!r} would name its node {node.id!r}; rename the file: at most 63 "
                "letters, digits, - and _"
            )
    if len({node.id for node in nodes}) != len(nodes):
        raise ValueError("two nodes would have the same name; rename one profile")
    return nodes
