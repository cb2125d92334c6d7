"""The records that cross a boundary: calls and their outcomes, tools, and a node's report."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

NODE_ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
SERVER_NAME = r"^(?!.*__)[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38}[A-Za-z0-9])?$"
CAPABILITY = r"^[a-z][a-z0-9_-]{0,39}$"
MAX_TOOL_NAME = 64
"""Longest tool name that model providers accept."""

FACTS = "agentdock/facts"
"""What a tool's definition holds in `_meta` for /health to show, such as how code is isolated."""
WARNING = "warning"
"""The fact that is told in the log, too: what people should mend."""
MAX_FACTS = 20
MAX_FACT = 100

EVERY_PROFILE = "*"
FROM_API = "api"
"""The source of an entry that stands in no file."""

NodeId = Annotated[str, StringConstraints(pattern=NODE_ID)]


class NodeState(StrEnum):
    """Where a node stands; `lost` is the manager's judgement, the others the node's word."""

    JOINING = "joining"
    READY = "ready"
    DRAINING = "draining"
    LOST = "lost"


class ServerState(StrEnum):
    """Where a tool server stands."""

    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing_off"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


class Scope(StrEnum):
    """Whom one process of a tool server serves: everybody, or one Session alone."""

    SHARED = "shared"
    SESSION = "session"


class ToolInfo(BaseModel):
    """One tool of one tool server.

    `definition` is the tool as its server listed it (MCP `Tool` as JSON), unaltered.
    `timeout_s` is the longest a call may take; `affinity` names the argument that carries a handle;
    `prefers` a capability: nodes that have it get the calls, others only if none of those can.
    """

    model_config = ConfigDict(frozen=True)

    server: str
    name: str
    definition: dict[str, Any]
    idempotent: bool = False
    timeout_s: float = 60.0
    affinity: str | None = None
    prefers: str | None = None
    scope: Scope = Scope.SHARED

    @property
    def qualified(self) -> str:
        """`server__tool` in the letters and length that every model provider accepts."""
        plain = f"{self.server}__{self.name}"
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", plain)
        if safe == plain and len(plain) <= MAX_TOOL_NAME:
            return plain
        return f"{safe[: MAX_TOOL_NAME - 9]}_{hashlib.sha256(plain.encode()).hexdigest()[:8]}"

    @property
    def dotted(self) -> str:
        """`server.tool`, the name that AgentDock's clients use."""
        return f"{self.server}.{self.name}"

    @property
    def description(self) -> str:
        """What the tool says of itself; empty if nothing."""
        return str(self.definition.get("description") or "")

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        schema = self.definition.get("inputSchema")
        return schema if isinstance(schema, dict) else {"type": "object"}


class ProcessReport(BaseModel):
    """One of several processes of a tool server."""

    state: ServerState
    error: str | None = None
    pid: int | None = None
    restarts: int = 0
    in_flight: int = 0


class ServerReport(BaseModel):
    """One tool server as its node sees it. `error` says what is wrong and what would cure it.

    `processes` lists those of a pool, or of Sessions; then `pid` is None. `source` is the file that
    its entry stands in, or `api`. `changing` means that a changed entry is starting beside it.
    `files` means that it serves `/v1/files` and `/v1/sandboxes` for its node.
    """

    name: str
    state: ServerState
    tools: list[ToolInfo] = []
    error: str | None = None
    pid: int | None = None
    restarts: int = 0
    in_flight: int = 0
    retry_after_s: float | None = None
    processes: list[ProcessReport] = []
    source: str = ""
    changing: bool = False
    files: bool = False

    @property
    def facts(self) -> dict[str, str]:
        """What it says of itself in the definitions of its tools, in few and short words."""
        told: dict[str, str] = {}
        for tool in self.tools:
            meta = tool.definition.get("_meta")
            facts = meta.get(FACTS) if isinstance(meta, dict) else None
            for name, fact in facts.items() if isinstance(facts, dict) else ():
                if isinstance(fact, str) and len(told) < MAX_FACTS:
                    told[name[:MAX_FACT]] = fact[:MAX_FACT]
        return told

    def process(self) -> ProcessReport:
        """Return the part of it that one process among several has for itself."""
        return ProcessReport(
            state=self.state,
            error=self.error,
            pid=self.pid,
            restarts=self.restarts,
            in_flight=self.in_flight,
        )


class NodeReport(BaseModel):
    """A node's complete statement. Repeated or lost reports do no harm: each replaces the last.

    `boot` changes whenever the node's process does; `revision` whenever anything but load does.
    `registered` says which registrations it has, by name with their revision; `capabilities`, what
    this machine has beyond others, such as `browser`. `files_area` is the same for nodes that share
    one file area, as those of a machine do.
    """

    id: NodeId
    boot: str
    profile: str
    url: str
    state: NodeState
    servers: list[ServerReport] = []
    problems: list[str] = []
    capabilities: list[str] = []
    in_flight: int = 0
    revision: str = ""
    version: str = ""
    registered: dict[str, int] = {}
    files_area: str = ""

    @property
    def stamp(self) -> tuple[str, ...]:
        """What changes whenever anything but load does."""
        return (self.boot, self.revision, self.state, self.url)


class Registration(BaseModel):
    """An entry that came over the API. Of those of one name the highest revision counts.

    `profile` says which nodes host it, `*` all of them. `entry` is as it was sent; None where there
    is to be none any more.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    profile: str
    revision: int
    entry: dict[str, Any] | None = None

    def is_for(self, profile: str) -> bool:
        """Whether nodes of a profile are to host it."""
        return self.entry is not None and self.profile in (EVERY_PROFILE, profile)


class ReportTaken(BaseModel):
    """Answer to a report: seconds until the next one is expected, and what the node lacks."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"report_every_s": 1.0, "registrations": []}}
    )

    report_every_s: float = 1.0
    registrations: list[Registration] = []


@dataclass(frozen=True, slots=True)
class Owner:
    """What sandboxes and files belong to: a key's name and, if the caller named one, a Session."""

    key: str
    session: str | None = None

    def __str__(self) -> str:
        """Return the form that travels: `key` or `key/session` (a key's name holds no slash)."""
        return self.key if self.session is None else f"{self.key}/{self.session}"


@dataclass(slots=True)
class Call:
    """One request to use one tool once.

    `tool` is the name as asked; `server` limits the search to one tool server. `timeout_s` is the
    caller's wish, in seconds; the tool's own limit caps it. `meta` is the caller's MCP `_meta`,
    already without `agentdock/*`. `node` limits the call to one node.
    """

    tool: str
    arguments: dict[str, Any]
    owner: Owner
    server: str | None = None
    timeout_s: float | None = None
    meta: dict[str, Any] | None = None
    node: str | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    started: float = field(default_factory=time.perf_counter)

    def elapsed_ms(self) -> float:
        """Milliseconds since the call was built."""
        return (time.perf_counter() - self.started) * 1000


@dataclass(slots=True)
class Outcome:
    """What a tool answered: `result` is the MCP `CallToolResult` as JSON, unaltered."""

    result: dict[str, Any]
    tool: ToolInfo
    node: str
    duration_ms: float

    @property
    def is_error(self) -> bool:
        """Whether the tool itself reported a failure."""
        return bool(self.result.get("isError", False))
