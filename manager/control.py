"""The manager's own routes, off the path of a call: nodes, tool servers, call records, health."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from manager.call_control import calls_router
from manager.fleet import Fleet
from manager.health import Health, summary
from manager.metrics import CONTENT_TYPE, Metrics
from manager.node_link import NodeLink, NotAccepted
from manager.records import Recorder
from manager.registrar import Registrar
from manager.registrations import Registrations
from manager.registry import NodeRecord, Registry
from manager.reports import Reports
from manager.server_control import configs_router, registering_router, servers_router
from manager.stores.base import Store
from manager.views import (
    Alive,
    NodeList,
    NodeView,
    Readiness,
    SessionClosed,
)
from wire.errors import BadRequest, Forbidden, PlatformError, StoreUnavailable
from wire.faces.caller import caller_of, owner_of, require_admin, require_peer
from wire.models import NodeReport, NodeState, ReportTaken

CONTROL_S = 15.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work on."""

    registry: Registry
    store: Store
    link: NodeLink
    fleet: Fleet
    reports: Reports
    recorder: Recorder
    health: Health
    metrics: Metrics
    registrations: Registrations
    registrar: Registrar


def _peer(request: Request) -> None:
    require_peer(request.scope)


def _admin(request: Request) -> None:
    require_admin(request.scope)


def _peer_or_admin(request: Request) -> None:
    caller = caller_of(request.scope)
    if not (caller.peer or caller.admin):
        raise Forbidden("This needs a key with the role admin; yours is agent.")


PEER = Depends(_peer)
ADMIN = Depends(_admin)
PEER_OR_ADMIN = Depends(_peer_or_admin)


def routers(parts: Parts) -> list[APIRouter]:
    """Return all routes of the manager's own."""
    return [
        _nodes(parts),
        servers_router(parts.registry, parts.link, parts.registrations),
        registering_router(parts.registrar),
        configs_router(parts.registrar, parts.registrations),
        _sessions(parts),
        calls_router(parts.store, parts.recorder, parts.registry),
        _health(parts.health),
        _metrics(parts.metrics),
    ]


def _nodes(parts: Parts) -> APIRouter:
    router = APIRouter(prefix="/v1/nodes", tags=["nodes"])

    @router.put("/{node_id}/report", dependencies=[PEER], summary="A node reports")
    async def report(
        node_id: Annotated[str, Path(examples=["explore"])], report: NodeReport
    ) -> ReportTaken:
        """Take a node's complete statement; it is durable when answered."""
        if report.id != node_id:
            raise BadRequest(f"The report is of node {report.id!r}, not of {node_id!r}.")
        _check_url(report.url)
        rival = parts.registry.rival(report)
        if rival is not None:
            raise BadRequest(
                f"There is a node {node_id!r} already, at {rival.url}: give one of them another "
                "AGENTDOCK_NODE_ID."
            )
        await parts.reports.take(report)
        return ReportTaken(registrations=parts.registrations.lacking(report))

    @router.delete(
        "/{node_id}", dependencies=[PEER_OR_ADMIN], status_code=204, summary="A node leaves"
    )
    async def leave(
        node_id: Annotated[str, Path(examples=["explore"])],
        boot: Annotated[str | None, Query(description="Only this process of the node.")] = None,
    ) -> None:
        """Forget a node; it gets no more calls."""
        if boot is not None and _another_runs(parts.registry, node_id, boot):
            return
        await parts.reports.leave(node_id)

    @router.get("", dependencies=[ADMIN], summary="All nodes")
    async def nodes() -> NodeList:
        """List nodes with their state, tool servers and problems."""
        views = [NodeView.of(node) for node in parts.registry.nodes()]
        return NodeList(nodes=views, troubles=parts.fleet.troubles())

    return router


def _another_runs(registry: Registry, node_id: str, boot: str) -> bool:
    """Whether a node is known by another process than the one that leaves."""
    return any(node.id == node_id and node.report.boot != boot for node in registry.nodes())


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadRequest(f"The node's url {url!r} is not one; set AGENTDOCK_NODE_ADVERTISE_URL.")


def _sessions(parts: Parts) -> APIRouter:
    router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

    @router.delete("/{session}", summary="Close a Session")
    async def close(
        session: Annotated[str, Path(examples=["rollout-17"])], request: Request
    ) -> SessionClosed:
        """End the processes and sandboxes of one of the caller's own Sessions, on every node."""
        owner = str(owner_of(caller_of(request.scope), session))
        live = [n for n in parts.registry.nodes() if n.state is not NodeState.LOST]
        ends = await asyncio.gather(*(_close(parts.link, node, session, owner) for node in live))
        answer = SessionClosed(session=session, closed={}, sandboxes={}, failed={})
        for node, end in zip(live, ends, strict=True):
            if isinstance(end, str):
                answer.failed[node.id] = end
            else:
                answer.closed[node.id], answer.sandboxes[node.id] = end
        return answer

    return router


async def _close(
    link: NodeLink, node: NodeRecord, session: str, owner: str
) -> tuple[int, int] | str:
    """Close a Session on one node; return its processes and sandboxes, or what went wrong."""
    try:
        body = await link.control(node, f"/v1/sessions/{session}", CONTROL_S, "DELETE", owner)
        closed = orjson.loads(body)
        return int(closed["closed"]), int(closed["sandboxes"])
    except (NotAccepted, PlatformError) as error:
        return str(error)


def _health(health: Health) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/livez", summary="Whether the process answers")
    @router.get("/alive", summary="Whether the process answers, for AgentDock's clients")
    async def alive() -> Alive:
        """Answer; nothing else is looked at."""
        return Alive()

    @router.get("/readyz", response_model=Readiness, summary="Whether calls can be served")
    async def readyz() -> Response:
        """Answer 200 when calls can be served (perhaps not all), else 503; with the reasons."""
        readiness = await health.readiness()
        status = StoreUnavailable.http_status if readiness.status == "unready" else 200
        return JSONResponse(readiness.model_dump(mode="json"), status)

    @router.get("/health", response_model=Readiness, summary="A summary for people")
    async def summarise(request: Request) -> Response:
        """Answer 200 with a short text, or with what /readyz says if JSON is asked for."""
        readiness = await health.readiness()
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse(readiness.model_dump(mode="json"))
        return PlainTextResponse(summary(readiness))

    return router


def _metrics(metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
    async def read() -> Response:
        """Answer with calls by tool, node and kind of error, and the state of nodes, as text."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return router
