"""What the manager's own routes answer with: models, with an example each for the documentation."""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from manager.registry import NodeRecord
from wire.models import NodeState, ProcessReport, ServerReport, ServerState


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": fields})


class ServerOnNode(BaseModel):
    """One tool server on one node. `error` says what is wrong and what would cure it.

    `source` is the file that its entry stands in, or `api`.
    """

    name: str
    node: str
    state: ServerState
    tools: int
    error: str | None
    pid: int | None
    restarts: int
    in_flight: int
    retry_after_s: float | None
    processes: list[ProcessReport] = []
    source: str = ""

    @classmethod
    def of(cls, node: NodeRecord, server: ServerReport) -> ServerOnNode:
        """Build the view; a lost node's tool servers are stopped as far as anybody can tell."""
        lost = node.state is NodeState.LOST
        return cls(
            name=server.name,
            node=node.id,
            state=ServerState.STOPPED if lost else server.state,
            tools=len(server.tools),
            error=f"node {node.id} is lost" if lost else server.error,
            pid=None if lost else server.pid,
            restarts=server.restarts,
            in_flight=0 if lost else server.in_flight,
            retry_after_s=None if lost else server.retry_after_s,
            processes=[] if lost else server.processes,
            source=server.source,
        )


_SERVER_EXAMPLE: dict[str, Any] = {
    "name": "sandbox",
    "node": "explore",
    "state": "ready",
    "tools": 1,
    "error": None,
    "pid": 4711,
    "restarts": 0,
    "in_flight": 2,
    "retry_after_s": None,
    "source": "nodes/profiles/explore.toml",
}


class SessionClosed(BaseModel):
    """How many processes and sandboxes ended on each node; the nodes that failed, with why."""

    model_config = _example(
        session="rollout-17", closed={"explore": 1}, sandboxes={"explore": 2}, failed={}
    )

    session: str
    closed: dict[str, int]
    sandboxes: dict[str, int]
    failed: dict[str, str]


class NodeView(BaseModel):
    """One node: what it said last, and how long ago it gave a sign of life (`silent_s`)."""

    model_config = _example(
        id="explore",
        profile="explore",
        url="http://127.0.0.1:8014",
        state="ready",
        version="0.1.0",
        silent_s=0.4,
        in_flight=2,
        capabilities=[],
        problems=[],
        servers=[_SERVER_EXAMPLE],
    )

    id: str
    profile: str
    url: str
    state: NodeState
    version: str
    silent_s: float
    in_flight: int
    capabilities: list[str]
    problems: list[str]
    servers: list[ServerOnNode]

    @classmethod
    def of(cls, node: NodeRecord) -> NodeView:
        """Build the view of a node."""
        report = node.report
        return cls(
            id=node.id,
            profile=report.profile,
            url=node.url,
            state=node.state,
            version=report.version,
            silent_s=round(time.monotonic() - node.seen, 3),
            in_flight=node.load(),
            capabilities=report.capabilities,
            problems=report.problems,
            servers=[ServerOnNode.of(node, server) for server in report.servers],
        )


class NodeList(BaseModel):
    """All nodes, lost ones too. `troubles` tells what is wrong with nodes that should run here."""

    nodes: list[NodeView]
    troubles: dict[str, str]


class ServerView(BaseModel):
    """One tool server on all nodes that have it."""

    model_config = _example(name="sandbox", tools=1, ready=1, nodes=[_SERVER_EXAMPLE])

    name: str
    tools: int
    ready: int
    nodes: list[ServerOnNode]


class ServerList(BaseModel):
    """All tool servers, and what is wrong with profiles, by node."""

    servers: list[ServerView]
    problems: dict[str, list[str]]


class Restarted(BaseModel):
    """On which nodes a tool server is restarted, and what went wrong on others."""

    model_config = _example(server="sandbox", restarted=["explore", "full"], failed={})

    server: str
    restarted: list[str]
    failed: dict[str, str]


class CallView(BaseModel):
    """The record of one call. `outcome` is ok, tool_error, cancelled or the code of an error."""

    model_config = _example(
        id="9f86d081884c7d659a2feaa0",
        tool="run_python_code",
        server="sandbox",
        node="explore",
        owner="anonymous",
        started_at=1767225600.0,
        duration_ms=41.7,
        outcome="ok",
        request_bytes=201,
        result_bytes=184,
        arguments=None,
        result=None,
        trace=None,
    ) | ConfigDict(from_attributes=True)

    id: str
    tool: str
    server: str | None
    node: str | None
    owner: str
    started_at: float
    duration_ms: float
    outcome: str
    request_bytes: int
    result_bytes: int
    arguments: dict[str, Any] | None
    result: dict[str, Any] | None
    trace: str | None


class CallList(BaseModel):
    """Records of calls, newest first. `dropped` counts those that the store could not take.

    `next` is the `cursor` of the next page; None at the end.
    """

    calls: list[CallView]
    dropped: int
    next: str | None = None


class GroupStats(BaseModel):
    """What calls of one group came to. Durations are within 2 %; everything else is exact.

    `errors` counts by outcome all that was not ok. `redundancy` is the share of calls that repeat
    an earlier one of the same Session with the same arguments; None without calls in Sessions.
    """

    model_config = _example(
        name="sandbox__run_python_code",
        calls=1200,
        errors={"tool_error": 17, "call_timed_out": 1},
        p50_ms=41.7,
        p95_ms=180.2,
        p99_ms=912.0,
        request_bytes=241200,
        result_bytes=220800,
        redundancy=0.04,
    )

    name: str | None
    calls: int
    errors: dict[str, int]
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    request_bytes: int
    result_bytes: int
    redundancy: float | None


class Stats(BaseModel):
    """Calls of a time, added up by group, those with most calls first, and all together."""

    by: Literal["tool", "server", "node", "key"]
    since: float
    until: float
    groups: list[GroupStats]
    total: GroupStats


class Alive(BaseModel):
    """The process answers."""

    model_config = _example(status="alive")

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Whether calls can be served, and if not wholly, why.

    `facts` are what tool servers say of themselves, by server and node, such as their `isolation`.
    """

    model_config = _example(
        status="degraded",
        reasons=["tool server web on full is failed"],
        store="ok",
        nodes={"explore": "ready", "full": "ready"},
        servers={"sandbox": {"explore": "ready", "full": "ready"}, "web": {"full": "failed"}},
        facts={"sandbox": {"explore": {"isolation": "namespaces"}}},
        tools=1,
        calls_in_flight=2,
    )

    status: Literal["ready", "degraded", "unready"]
    reasons: list[str]
    store: str
    nodes: dict[str, NodeState]
    servers: dict[str, dict[str, ServerState]]
    facts: dict[str, dict[str, dict[str, str]]]
    tools: int
    calls_in_flight: int
