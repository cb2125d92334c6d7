"""Builds a node from its settings: the only place of this package that knows concrete classes."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from nodes.capabilities import probe
from nodes.control import control_router, registrations_router
from nodes.environment import base_environment
from nodes.files import Files
from nodes.files_socket import FilesPlaces
from nodes.folder import NodeFolder
from nodes.host import Host
from nodes.link import Link
from nodes.membership import Membership
from nodes.profile import Profile, ProfileWatch, profile_path, with_one_for_files
from nodes.registrations import Registrations, merge
from nodes.settings import NodeSettings
from nodes.surroundings import Surroundings
from wire import __version__, handles
from wire.errors import Unauthorized
from wire.faces.caller import Caller
from wire.faces.front import Front, RawRoute
from wire.faces.gate import GatePolicy
from wire.files import FILES, SANDBOXES
from wire.link import PATH
from wire.models import NodeReport, NodeState, Registration
from wire.serving import beside

HANDLE_PREFIX = "AGENTDOCK_HANDLE_PREFIX"
BROWSER_PATH = "BROWSER_EXECUTABLE"
"""The setting by which the web server finds its browser."""


class Node:
    """A node in one process: its host, what it reports, and the life of both.

    Args:
        settings: See there.
        environ: Returns the environment, `.env` included, that profiles refer to.
        run: Token by which this run's processes are known; its guardian has the same.
    """

    def __init__(
        self, settings: NodeSettings, environ: Callable[[], Mapping[str, str]], run: str
    ) -> None:
        self._settings = settings
        self._boot = secrets.token_hex(8)
        self._revision = 0
        self._membership: Membership | None = None
        self._environ = environ
        self._capabilities: list[str] = []
        self._file = Profile()
        self._registrations = Registrations()
        self._places = FilesPlaces(settings.data_dir, settings.node_id)
        around = _surroundings(settings, environ(), run, self._places)
        self.host = Host(settings.node_id, around, self._changed)
        self._watch = ProfileWatch(
            profile_path(settings.profile),
            environ,
            self._read,
            self._not_read,
            also=[Path(".env")],
        )

    def report(self) -> NodeReport:
        """Return the complete statement of this moment."""
        host = self.host
        return NodeReport(
            id=host.node_id,
            boot=self._boot,
            profile=profile_path(self._settings.profile).stem,
            url=self._settings.url,
            state=NodeState.DRAINING if host.draining else NodeState.READY,
            servers=host.servers_report(),
            problems=host.problems,
            capabilities=self._capabilities,
            in_flight=host.in_flight,
            revision=str(self._revision),
            version=__version__,
            registered=self._registrations.revisions(),
            files_area=self._places.area,
        )

    def take(self, registrations: Sequence[Registration]) -> None:
        """Plug and unplug what a manager says was registered over the API."""
        if self._registrations.take(registrations):
            self._apply()

    def _read(self, profile: Profile) -> None:
        self._file = profile
        self._apply()

    def _not_read(self, fault: str) -> None:
        self._file = replace(self._file, fault=fault)
        self.host.report_fault(fault)

    def _apply(self) -> None:
        path = str(profile_path(self._settings.profile))
        live = self._registrations.live()
        environ = self._environ() if live else {}
        merged = merge(self._file, path, live, environ, self._settings.expandable)
        self.host.apply(with_one_for_files(merged))

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """Host what the profile says and be a member while the context is open."""
        async with AsyncExitStack() as stack:
            folder = NodeFolder(self._settings.data_dir, self._settings.node_id)
            await stack.enter_async_context(folder.kept())
            stack.callback(self._places.close)
            stack.push_async_callback(self.host.close)
            await stack.enter_async_context(beside(self._watch.run(), "the watch of the profile"))
            await stack.enter_async_context(beside(self._probe(), "the look for capabilities"))
            settings = self._settings
            if settings.manager_urls and settings.secret is not None:
                self._membership = Membership(
                    settings.manager_urls,
                    settings.secret.get_secret_value(),
                    self.report,
                    settings.report_every_s,
                    self.take,
                )
                await stack.enter_async_context(
                    beside(self._membership.run(), "the report to the manager")
                )
            yield

    async def _probe(self) -> None:
        environ = self._environ()
        self._capabilities = await probe(base_environment(environ), environ.get(BROWSER_PATH))
        if self._capabilities:
            self._changed()

    def _changed(self) -> None:
        self._revision += 1
        if self._membership is not None:
            self._membership.changed()


@dataclass(frozen=True, slots=True)
class Service:
    """What `python -m nodes` serves, and the node behind it."""

    front: Front
    node: Node


def create_service(
    settings: NodeSettings, environ: Callable[[], Mapping[str, str]], run: str | None = None
) -> Service:
    """Assemble a node; nothing starts before the lifespan of its front does.

    Args:
        settings: As `load_settings` returns them.
        environ: See `Node`.
        run: See `Node`; a fresh one if None.
    """
    node = Node(settings, environ, run or secrets.token_hex(16))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with node.life(), link.pulse(), front.run():
            yield

    control = FastAPIOffline(title="AgentDock node", version=__version__, lifespan=lifespan)
    control.include_router(control_router(node.host))
    control.include_router(registrations_router(node.take))
    link = Link(node.host, settings.max_body_bytes)
    front = Front(
        catalogue=node.host,
        control=control,
        policy=_policy(settings),
        service=f"agentdock-node-{settings.node_id}",
        raw=[
            RawRoute("POST", PATH, link),
            *(RawRoute(None, prefix, Files(node.host)) for prefix in (FILES, SANDBOXES)),
        ],
    )
    return Service(front, node)


def create_app(settings: NodeSettings, environ: Mapping[str, str]) -> Front:
    """Return the ASGI application of a node; `environ` stays as it is."""
    return create_service(settings, lambda: environ).front


def _surroundings(
    settings: NodeSettings, environ: Mapping[str, str], run: str, files: FilesPlaces
) -> Surroundings:
    base = base_environment(environ)
    if settings.secret is not None:
        secret = settings.secret.get_secret_value()
        base[HANDLE_PREFIX] = handles.prefix(secret, settings.node_id)
    return Surroundings(
        node_id=settings.node_id,
        run=run,
        logs=settings.data_dir / "logs" / "servers",
        base_env=base,
        files=files,
        policy=settings.restart_policy,
        start_timeout_s=settings.start_timeout_s,
        stop_grace_s=settings.stop_grace_s,
    )


def _policy(settings: NodeSettings) -> GatePolicy:
    names = {urlsplit(settings.url).hostname, socket.gethostname().lower(), settings.host.lower()}
    return GatePolicy(
        authenticate=_authenticator(settings),
        hosts=frozenset(name for name in names if name and not _is_any_address(name)),
        loopback=settings.is_loopback,
        max_body_bytes=settings.max_body_bytes,
    )


def _authenticator(settings: NodeSettings) -> Callable[[str | None], Caller]:
    secret = settings.secret.get_secret_value().encode() if settings.secret else None
    manager = Caller("manager", admin=True, peer=True)
    # Where there is a secret, code that a tool runs must not administer its own node without it.
    anonymous = Caller("anonymous", admin=secret is None)

    def authenticate(presented: str | None) -> Caller:
        if presented is None:
            if settings.is_loopback:
                return anonymous
            raise Unauthorized("Present AGENTDOCK_SECRET as bearer, or ask the manager.")
        if secret is None or not hmac.compare_digest(presented.encode(), secret):
            raise Unauthorized("This is not the AGENTDOCK_SECRET of this node.")
        return manager

    return authenticate


def _is_any_address(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False
