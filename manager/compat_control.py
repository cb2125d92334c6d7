"""Routes that AgentDock's clients know beside the faces: its nodes and the machine's resources.

There, a node was made for whoever asked. Here nodes are shared and always there: to create one is
to be given one that exists, and to close it ends nobody else's work.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from manager.containers import node_of
from manager.health import Health
from manager.registry import NodeRecord, Registry
from manager.views import NodeView
from wire.errors import NoNode, NotFound
from wire.faces.caller import require_admin
from wire.models import NodeState

ENGINE_S = 3.0
ALERT_SHARE = 0.95

NodeIdQuery = Annotated[str, Query(min_length=1, description="The node's id.")]


class GivenNode(BaseModel):
    """A node to be used under `/container/{node_id}/`."""

    status: Literal["success"] = "success"
    node_id: str
    image_name: str
    message: str


class Image(BaseModel):
    """A profile, which is to a node here what an image was there, and the nodes that have it."""

    name: str
    nodes: list[str]


class Images(BaseModel):
    """What `image_name` may be."""

    images: list[Image]


class Used(BaseModel):
    """How much of something is used."""

    total_bytes: int
    used_bytes: int
    percent: float

    @classmethod
    def of(cls, total: int, free: int) -> Used:
        """Build it from what there is and what is left, in bytes."""
        used = total - free
        return cls(
            total_bytes=total, used_bytes=used, percent=round(100 * used / total, 1) if total else 0
        )


class System(BaseModel):
    """The machine that the manager runs on. `load` is the average over 1, 5 and 15 minutes."""

    timestamp: float
    cpus: int
    load: tuple[float, float, float]
    memory: Used
    disk: Used


class Engine(BaseModel):
    """The Docker engine, if the manager can reach one; nothing here needs it."""

    available: bool
    reason: str | None = None
    version: str | None = None
    containers: list[dict[str, Any]] = []


class Alert(BaseModel):
    """Something that a person should look at."""

    level: Literal["warning", "critical"]
    message: str


class Alerts(BaseModel):
    """All of them; none is good news."""

    alerts: list[Alert]


def _admin(request: Request) -> None:
    require_admin(request.scope)


def nodes_router(registry: Registry, pick: Callable[[list[NodeRecord]], NodeRecord]) -> APIRouter:
    """Return the routes under `/node`.

    Args:
        registry: Knows the nodes.
        pick: Returns one of several nodes.
    """
    router = APIRouter(prefix="/node", tags=["AgentDock's clients"])

    @router.get("/images", summary="Profiles that nodes have")
    async def images() -> Images:
        """List what can be asked for as `image_name`."""
        found: dict[str, list[str]] = {}
        for node in _live(registry):
            found.setdefault(node.report.profile, []).append(node.id)
        return Images(images=[Image(name=n, nodes=found[n]) for n in sorted(found)])

    @router.post("/create", summary="Be given a node")
    async def create(
        image_name: Annotated[str, Query(examples=["explore"])], creator_name: str = ""
    ) -> GivenNode:
        """Return a node of the profile that an image's name contains; nothing is started."""
        live = _live(registry)
        if not live:
            raise NoNode("No node is ready now.", retry_after_s=1.0)
        plain = image_name.rpartition("/")[2].partition(":")[0]
        fitting = [n for n in live if n.report.profile in plain]
        if not fitting:
            profiles = ", ".join(sorted({node.report.profile for node in live}))
            raise NotFound(f"No node fits image_name={image_name[:80]!r}. There is: {profiles}.")
        return _given(pick(fitting), "The node is shared, and ready.")

    @router.get("/details", summary="One node", dependencies=[Depends(_admin)])
    async def details(node_id_q: NodeIdQuery) -> NodeView:
        """Tell what a node said last."""
        return NodeView.of(node_of(registry, node_id_q))

    def keep(verb: str) -> Callable[..., Any]:
        async def answer(node_id_q: NodeIdQuery) -> GivenNode:
            """Look whether the node is there; it serves others, so nothing happens to it."""
            return _given(node_of(registry, node_id_q), "The node is shared and goes on.")

        answer.__name__ = verb
        return answer

    for verb in ("close", "release", "reconnect"):
        router.post(f"/{verb}", summary=f"{verb.capitalize()} a node", response_model=GivenNode)(
            keep(verb)
        )
    return router


def _live(registry: Registry) -> list[NodeRecord]:
    return [node for node in registry.nodes() if node.state is NodeState.READY]


def _given(node: NodeRecord, message: str) -> GivenNode:
    return GivenNode(node_id=node.id, image_name=node.report.profile, message=message)


def resources_router(health: Health, data_dir: Path, docker_socket: Path) -> APIRouter:
    """Return the routes under `/api/resources`.

    Args:
        health: Knows what is wrong.
        data_dir: The folder whose disk is looked at.
        docker_socket: Where an engine may listen.
    """
    router = APIRouter(
        prefix="/api/resources", tags=["AgentDock's clients"], dependencies=[Depends(_admin)]
    )

    @router.get("/system", summary="Load, memory and disk of the manager's machine")
    async def system() -> System:
        """Tell how busy the machine is."""
        return await asyncio.to_thread(_system, data_dir)

    @router.get("/docker", summary="Containers, if an engine can be reached")
    async def docker() -> Engine:
        """Ask the Docker engine at AGENTDOCK_MANAGER_DOCKER_SOCKET; nodes never get it."""
        return await _engine(docker_socket)

    @router.get("/alerts", summary="What a person should look at")
    async def alerts() -> Alerts:
        """Tell what /readyz complains of, and what the machine runs out of."""
        readiness = await health.readiness()
        level: Literal["warning", "critical"]
        level = "critical" if readiness.status == "unready" else "warning"
        found = [Alert(level=level, message=reason) for reason in readiness.reasons]
        machine = await asyncio.to_thread(_system, data_dir)
        for name, used in (("memory", machine.memory), ("disk", machine.disk)):
            if used.percent >= 100 * ALERT_SHARE:
                message = f"{used.percent:g} % of the {name} is used"
                found.append(Alert(level="critical", message=message))
        return Alerts(alerts=found)

    return router


def _system(folder: Path) -> System:
    disk = shutil.disk_usage(folder if folder.exists() else "/")
    lines = (line.partition(":") for line in Path("/proc/meminfo").read_text().splitlines())
    memory = {name: int(rest.split()[0]) * 1024 for name, _, rest in lines}
    return System(
        timestamp=time.time(),
        cpus=os.cpu_count() or 1,
        load=os.getloadavg(),
        memory=Used.of(memory["MemTotal"], memory["MemAvailable"]),
        disk=Used.of(disk.total, disk.free),
    )


async def _engine(socket: Path) -> Engine:
    if not await asyncio.to_thread(socket.exists):
        return Engine(available=False, reason=f"There is no Docker engine at {socket}.")
    transport = httpx.AsyncHTTPTransport(uds=f"{socket}")
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://engine", timeout=ENGINE_S
        ) as client:
            version = (await client.get("/version")).raise_for_status().json()
            listed = (await client.get("/containers/json?all=1")).raise_for_status().json()
        containers = [
            {
                "id": each["Id"][:12],
                "name": each["Names"][0].lstrip("/"),
                "image": each["Image"],
                "state": each["State"],
                "status": each["Status"],
            }
            for each in listed
        ]
        return Engine(available=True, version=version["Version"], containers=containers)
    except httpx.HTTPError as error:
        reason = (
            f"The Docker engine at {socket} does not answer: {str(error) or type(error).__name__}."
        )
    except (KeyError, TypeError, IndexError, ValueError):
        reason = f"What answers at {socket} is no Docker engine."
    return Engine(available=False, reason=reason)
