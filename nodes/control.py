"""The routes of a node that are not on the path of a call: its tool servers and its health."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from fastapi import APIRouter, Request, Response, status
from pydantic import BaseModel

from nodes.files import close_sandboxes
from nodes.host import Host
from wire.faces.caller import caller_of, owner_of, require_admin, require_peer
from wire.link import OWNER, owner_in
from wire.models import NodeState, Registration, ServerReport, ServerState


class ServersAnswer(BaseModel):
    """How each tool server stands, and what is wrong with the profile."""

    node: str
    servers: list[ServerReport]
    problems: list[str]


class RestartAnswer(BaseModel):
    """A restart has begun; `GET /v1/servers` says how it goes."""

    server: str
    state: ServerState


class SessionClosed(BaseModel):
    """How many processes belonged to the Session here, and how many sandboxes."""

    session: str
    closed: int
    sandboxes: int


class Readiness(BaseModel):
    """Whether calls can be taken, each tool server's state, and what it says of itself."""

    status: Literal["ready", "degraded", "unready"]
    node: str
    state: NodeState
    servers: dict[str, ServerState]
    facts: dict[str, dict[str, str]]
    tools: int
    problems: list[str]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


def readiness(host: Host) -> Readiness:
    """Judge a node: without any tool it is not ready, with something broken it is degraded."""
    servers = host.servers_report()
    problems = [
        *host.problems,
        *(f"{s.name}: {s.error}" for s in servers if s.state is ServerState.FAILED and s.error),
    ]
    tools = len(host.tools())
    failed = any(server.state is ServerState.FAILED for server in servers)
    state = NodeState.DRAINING if host.draining else NodeState.READY
    ready = tools > 0 and not host.draining
    return Readiness(
        status="unready" if not ready else "degraded" if failed or problems else "ready",
        node=host.node_id,
        state=state,
        servers={server.name: server.state for server in servers},
        facts={server.name: facts for server in servers if (facts := server.facts)},
        tools=tools,
        problems=list(dict.fromkeys(problems)),
    )


def control_router(host: Host) -> APIRouter:
    """Return the routes over one host."""
    router = APIRouter()

    @router.get("/v1/servers", summary="List the tool servers", tags=["tool servers"])
    async def servers() -> ServersAnswer:
        return ServersAnswer(
            node=host.node_id, servers=host.servers_report(), problems=host.problems
        )

    @router.post(
        "/v1/servers/{name}/restart",
        status_code=status.HTTP_202_ACCEPTED,
        summary="Restart a tool server",
        description="A new process takes over when it is ready; then the old one drains and ends.",
        tags=["tool servers"],
    )
    async def restart(name: str, request: Request) -> RestartAnswer:
        require_admin(request.scope)
        host.restart(name)
        state = next(report.state for report in host.servers_report() if report.name == name)
        return RestartAnswer(server=name, state=state)

    @router.delete(
        "/v1/sessions/{session}",
        summary="Close a Session",
        description="Ends the processes and sandboxes of one of the caller's own Sessions.",
        tags=["sessions"],
    )
    async def close_session(session: str, request: Request) -> SessionClosed:
        owner = _owner(request, session)
        closed = await host.close_session(owner)
        sandboxes = await close_sandboxes(host, owner)
        return SessionClosed(session=session, closed=closed, sandboxes=sandboxes)

    @router.get("/livez", summary="Does the process answer?", tags=["health"])
    async def livez() -> Alive:
        return Alive()

    @router.get("/alive", summary="Does the process answer?", tags=["health"])
    async def alive() -> Alive:
        return Alive()

    @router.get(
        "/readyz",
        summary="Can it take calls?",
        tags=["health"],
        responses={503: {"model": Readiness, "description": "No tool can be called."}},
    )
    async def readyz(response: Response) -> Readiness:
        answer = readiness(host)
        if answer.status == "unready":
            response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return answer

    @router.get("/health", summary="How does it stand?", tags=["health"])
    async def health() -> Readiness:
        return readiness(host)

    return router


def registrations_router(take: Callable[[Sequence[Registration]], None]) -> APIRouter:
    """Return the route over which a manager tells of registrations.

    Args:
        take: Takes them; those that are not news do no harm.
    """
    router = APIRouter()

    @router.put(
        "/v1/registrations",
        status_code=status.HTTP_204_NO_CONTENT,
        summary="A manager tells of registrations",
        description="Each replaces an older one of its name; the next report says what is known.",
        tags=["tool servers"],
    )
    async def registrations(news: list[Registration], request: Request) -> None:
        require_peer(request.scope)
        take(news)

    return router


def _owner(request: Request, session: str) -> str:
    """Return whose Session is meant: a manager names the owner, anybody else is it."""
    caller = caller_of(request.scope)
    named = request.headers.get(OWNER.decode())
    if named is not None and caller.peer:
        return owner_in(named.encode("latin-1"))
    return str(owner_of(caller, session))
