"""The settings of a node: `AGENTDOCK_NODE_*` and those it shares with the manager."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from nodes.profile import profile_path
from nodes.restarts import RestartPolicy
from wire.models import NODE_ID
from wire.readable import closed
from wire.serving import is_loopback
from wire.settings import SettingsError, SharedSettings, load

PORTS = {"full": 8004, "explore": 8014}
DEFAULT_PORT = 8014
MIN_SECRET = 16
ANY_ADDRESS = ("0.0.0.0", "::", "")
TOOL_SERVERS = Path(__file__).parent.parent / "mcp_servers"


class NodeSettings(SharedSettings):
    """Everything that can be set about a node. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="AGENTDOCK_NODE_")

    id: str | None = Field(
        None,
        pattern=NODE_ID,
        description="Name of the node, unique and lasting. Default: profile and host name.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int | None = Field(
        None, ge=1, le=65535, description="Port to listen on. Default: 8014, or 8004 for full."
    )
    profile: str = Field(
        "explore",
        description="Which tool servers to host: explore, full, or a .toml or .json file.",
    )
    manager_url: str | None = Field(
        None,
        pattern=r"^https?://[^/\s,]+/?(\s*,\s*https?://[^/\s,]+/?)*$",
        description="The manager to join, such as http://127.0.0.1:8080; several, with commas, "
        "are tried in turn. Unset: it stands alone.",
    )
    advertise_url: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+/?$",
        description="Where the manager reaches this node. Default: http://HOST:PORT, with this "
        "machine's name if HOST is any address.",
    )
    expandable_vars: str = Field(
        "", description="Names, with commas, that entries sent over the API may refer to."
    )
    # A manager takes a node that was silent for 30 s for lost, whatever its probes say.
    report_every_s: float = Field(1.0, gt=0, le=5, description="Time between two reports.")
    drain_s: float = Field(20.0, ge=0, description="Time that running calls get when it ends.")
    stop_grace_s: float = Field(3.0, gt=0, description="Time for each step of ending a process.")
    start_timeout_s: float = Field(30.0, gt=0, description="Time for a tool server to get ready.")
    max_body_bytes: int = Field(32 * 1024 * 1024, gt=0, description="Longest request body.")
    restart_base_s: float = Field(0.5, gt=0, description="Wait before a first restart; it doubles.")
    restart_max_s: float = Field(30.0, gt=0, description="Longest wait before a restart.")
    restart_reset_s: float = Field(60.0, gt=0, description="Uptime after which waits begin anew.")
    restart_give_up: int = Field(5, ge=1, description="Starts in a row that may fail.")

    @property
    def node_id(self) -> str:
        """The id, chosen from profile and host name if none is set."""
        if self.id is not None:
            return self.id
        name = f"{profile_path(self.profile).stem}-{socket.gethostname()}"
        return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:63] or "node"

    @property
    def listen_port(self) -> int:
        """The port, chosen by the profile if none is set."""
        return self.port or PORTS.get(self.profile, DEFAULT_PORT)

    @property
    def url(self) -> str:
        """Where others reach this node, without a slash at the end."""
        if self.advertise_url is not None:
            return self.advertise_url.rstrip("/")
        host = socket.gethostname() if self.host in ANY_ADDRESS else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.listen_port}"

    @property
    def manager_urls(self) -> tuple[str, ...]:
        """The managers to join, one at a time, without slashes at the end."""
        return tuple(url.strip().rstrip("/") for url in (self.manager_url or "").split(",") if url)

    @property
    def expandable(self) -> frozenset[str]:
        """The names in `expandable_vars`."""
        return frozenset(name.strip() for name in self.expandable_vars.split(",") if name.strip())

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the node."""
        return is_loopback(self.host)

    @property
    def restart_policy(self) -> RestartPolicy:
        """When to restart a tool server and when to give up."""
        return RestartPolicy(
            self.restart_base_s, self.restart_max_s, self.restart_reset_s, self.restart_give_up
        )


def load_settings(environ: Mapping[str, str]) -> NodeSettings:
    """Read the settings; the secret is `<data_dir>/secret` if it is not set and that file exists.

    Raises:
        SettingsError: a value is bad, a secret is needed and there is none, or what nodes host
            cannot be read.
    """
    settings = load(NodeSettings, environ)
    fault = closed([profile_path(settings.profile), TOOL_SERVERS])
    if fault:
        raise SettingsError(fault)
    if settings.secret is None:
        secret = _stored_secret(settings.data_dir / "secret")
        if secret is not None:
            settings = settings.model_copy(update={"secret": SecretStr(secret)})
    if settings.secret is None and not settings.is_loopback:
        raise SettingsError(
            f"AGENTDOCK_SECRET: must be set for a node that listens on {settings.host}, which "
            "others can reach (AGENTDOCK_NODE_HOST)"
        )
    if settings.secret is None and settings.manager_url is not None:
        raise SettingsError("AGENTDOCK_SECRET: must be set, as the manager has it, to join it")
    return settings


def _stored_secret(path: Path) -> str | None:
    try:
        secret = path.read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"AGENTDOCK_SECRET: cannot read {path}: {error.strerror}") from None
    if len(secret) < MIN_SECRET:
        raise SettingsError(f"AGENTDOCK_SECRET: {path} holds less than {MIN_SECRET} characters")
    return secret
