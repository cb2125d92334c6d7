"""The manager's routes for tool servers: list, register, take back, restart, import, export."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict

from manager.configs import Form, read_config, write_config
from manager.jsonc import read_jsonc
from manager.masking import masked
from manager.node_link import NodeLink, NotAccepted
from manager.registrar import OnNode, Registrar
from manager.registrations import Registrations
from manager.registry import NodeRecord, Registry
from manager.views import Restarted, ServerList, ServerOnNode, ServerView
from wire.errors import NotFound, PlatformError, StoreUnavailable
from wire.faces.caller import require_admin
from wire.models import EVERY_PROFILE, NodeState, Registration

CONTROL_S = 15.0
WAIT_S = 30.0
MAX_WAIT_S = 120.0

Name = Annotated[str, Path(examples=["sandbox"])]
Wait = Annotated[
    float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for what becomes of it.")
]

_ENTRY: dict[str, Any] = {"command": "uvx", "args": ["mcp-server-time"]}
_ANY_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "examples": [{"mcpServers": {"time": _ENTRY}}]}
            }
        },
    }
}


class NewEntry(BaseModel):
    """An entry, as under `mcpServers`, and which nodes host it: a profile, or `*` for all."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"profile": "explore", "entry": _ENTRY}}
    )

    profile: str
    entry: dict[str, Any]


class NewServer(NewEntry):
    """A tool server to be registered."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "time", "profile": "explore", "entry": _ENTRY}}
    )

    name: str


class Registered(BaseModel):
    """What is registered, and what became of it on each node. Secrets are shown as `***`."""

    name: str
    profile: str
    revision: int
    entry: dict[str, Any] | None
    nodes: dict[str, OnNode]
    note: str | None = None

    @classmethod
    def of(cls, registration: Registration, nodes: dict[str, OnNode]) -> Registered:
        """Build the answer."""
        entry = registration.entry
        alone = entry is not None and not nodes
        return cls(
            name=registration.name,
            profile=registration.profile,
            revision=registration.revision,
            entry=None if entry is None else masked(entry),
            nodes=nodes,
            note="No node of this profile is here; the next to join hosts it." if alone else None,
        )


class RegisteredView(BaseModel):
    """What is registered under a name."""

    profile: str
    revision: int
    entry: dict[str, Any]


class ServerDetails(BaseModel):
    """One tool server: how it is on each node, and what was registered, if it was."""

    name: str
    nodes: list[ServerOnNode]
    registration: RegisteredView | None


class Imported(BaseModel):
    """What became of each entry of a configuration, and why others were not registered."""

    form: Literal["mcpServers", "vscode", "server.json"]
    registered: dict[str, Registered]
    failed: dict[str, str]


def _admin(request: Request) -> None:
    require_admin(request.scope)


ADMIN = [Depends(_admin)]


def servers_router(registry: Registry, link: NodeLink, registrations: Registrations) -> APIRouter:
    """Return the routes that list and restart tool servers."""
    router = APIRouter(prefix="/v1/servers", tags=["tool servers"], dependencies=ADMIN)

    @router.get("", summary="All tool servers")
    async def servers() -> ServerList:
        """List tool servers with their state on each node, and what is wrong with profiles."""
        return _listed(registry)

    @router.get("/{name}", summary="One tool server")
    async def server(name: Name) -> ServerDetails:
        """Tell how a tool server is on each node, and what was registered under its name."""
        found = [
            ServerOnNode.of(node, report)
            for node in registry.nodes()
            if (report := node.server(name)) is not None
        ]
        kept = registrations.get(name)
        if kept is None and not found:
            raise NotFound(f"There is no tool server {name!r}. GET /v1/servers lists them.")
        view = None
        if kept is not None and kept.entry is not None:
            view = RegisteredView(
                profile=kept.profile, revision=kept.revision, entry=masked(kept.entry)
            )
        return ServerDetails(name=name, nodes=found, registration=view)

    @router.post("/{name}/restart", summary="Restart a tool server on every node")
    async def restart(name: Name) -> Restarted:
        """Restart a tool server; one that was given up is tried again."""
        live = [n for n in registry.nodes() if n.state is not NodeState.LOST]
        having = [node for node in live if node.server(name) is not None]
        if not having:
            raise NotFound(f"No node has a tool server {name!r}. GET /v1/servers lists them.")
        answer = Restarted(server=name, restarted=[], failed={})
        for node in having:
            failure = await _restart(link, node, name)
            if failure is None:
                answer.restarted.append(node.id)
            else:
                answer.failed[node.id] = failure
        return answer

    return router


def registering_router(registrar: Registrar) -> APIRouter:
    """Return the routes that register tool servers and take registrations back."""
    router = APIRouter(prefix="/v1/servers", tags=["tool servers"], dependencies=ADMIN)

    @router.post("", status_code=201, summary="Register a tool server")
    async def register(new: NewServer, wait_s: Wait = WAIT_S) -> Registered:
        """Plug a tool server in on every node of a profile; durable when answered."""
        made = await registrar.register(
            new.name, new.profile, new.entry, replace=False, wait_s=wait_s
        )
        return Registered.of(*made)

    @router.put("/{name}", summary="Register a tool server, or replace one that was registered")
    async def put(name: Name, new: NewEntry, wait_s: Wait = WAIT_S) -> Registered:
        """Plug it in; the changed one takes over on each node when it is ready there."""
        made = await registrar.register(name, new.profile, new.entry, replace=True, wait_s=wait_s)
        return Registered.of(*made)

    @router.delete("/{name}", summary="Take a registration back")
    async def unregister(name: Name, wait_s: Wait = WAIT_S) -> Registered:
        """Unplug a registered tool server on every node; running calls are finished first."""
        return Registered.of(*await registrar.unregister(name, wait_s))

    return router


def _listed(registry: Registry) -> ServerList:
    found: dict[str, list[ServerOnNode]] = {}
    for node in registry.nodes():
        for server in node.report.servers:
            found.setdefault(server.name, []).append(ServerOnNode.of(node, server))
    views = [
        ServerView(
            name=name,
            tools=max(view.tools for view in found[name]),
            ready=sum(view.state == "ready" for view in found[name]),
            nodes=found[name],
        )
        for name in sorted(found)
    ]
    problems = {n.id: n.report.problems for n in registry.nodes() if n.report.problems}
    return ServerList(servers=views, problems=problems)


async def _restart(link: NodeLink, node: NodeRecord, name: str) -> str | None:
    """Restart a tool server on one node; return what went wrong, if anything."""
    try:
        await link.control(node, f"/v1/servers/{quote(name, safe='')}/restart", CONTROL_S)
    except (NotAccepted, PlatformError) as error:
        return str(error)
    return None


def configs_router(registrar: Registrar, registrations: Registrations) -> APIRouter:
    """Return the routes that import and export configurations of other programs."""
    router = APIRouter(prefix="/v1", tags=["tool servers"], dependencies=ADMIN)

    @router.post(
        "/import", summary="Register every tool server of a configuration", openapi_extra=_ANY_FILE
    )
    async def import_config(
        request: Request,
        profile: Annotated[str, Query(examples=["explore"])] = EVERY_PROFILE,
        replace: Annotated[bool, Query(description="Replace what is registered.")] = False,
        wait_s: Wait = WAIT_S,
    ) -> Imported:
        """Take `mcpServers` of Claude or Cursor, `servers` of VS Code, or a server.json.

        Comments and commas at the end of a list are allowed, as in VS Code's files.
        """
        config = read_config(read_jsonc(await request.body()))
        answer = Imported(form=config.form, registered={}, failed=dict(config.faults))

        async def register(name: str, entry: dict[str, Any]) -> None:
            try:
                made = await registrar.register(
                    name, profile, entry, replace=replace, wait_s=wait_s
                )
            except StoreUnavailable:
                raise
            except PlatformError as error:
                answer.failed[name] = error.detail
            else:
                answer.registered[name] = Registered.of(*made)

        await asyncio.gather(*(register(name, entry) for name, entry in config.entries.items()))
        return answer

    @router.get("/export", summary="What was registered, as a configuration")
    async def export_config(
        form: Annotated[Form, Query(description="Whose configuration.")] = "mcpServers",
        name: Annotated[str | None, Query(description="Only this tool server.")] = None,
    ) -> dict[str, Any]:
        """Write registered entries; secrets become references to variables."""
        chosen = [r for r in registrations.all() if name in (None, r.name)]
        if name is not None and not chosen:
            raise NotFound(f"{name!r} is not registered. GET /v1/servers lists tool servers.")
        return write_config(chosen, form)

    return router
