"""Assembly: the only place of the manager that builds concrete classes."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from functools import partial

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from manager.access import Access, anonymous_caller
from manager.banner import Banner
from manager.calls import CallService
from manager.compat_control import nodes_router, resources_router
from manager.containers import PREFIX, Containers
from manager.control import Parts, routers
from manager.file_link import FileLink
from manager.files import Files
from manager.fleet import Fleet, FleetPolicy
from manager.health import Health
from manager.instance import kept_secret
from manager.launchers.base import Launcher
from manager.launchers.external import ExternalLauncher
from manager.launchers.process import ProcessLauncher
from manager.metrics import Metrics
from manager.node_link import NodeLink
from manager.records import Recorder
from manager.registrar import Registrar
from manager.registrations import Registrations
from manager.registry import NodeRecord, Registry
from manager.reports import Reports
from manager.settings import SQLITE, ManagerSettings
from manager.stores.address import parse
from manager.stores.base import Store
from manager.stores.calls import CallRecord
from manager.stores.sharing import SharedStore
from manager.stores.sqlite import SqliteStore
from wire import __version__
from wire.errors import StoreUnavailable
from wire.faces.catalogue import Catalogue
from wire.faces.front import Front, RawRoute
from wire.faces.gate import GatePolicy
from wire.serving import beside
from wire.settings import SettingsError

log = logging.getLogger(__name__)

STORE_URL = "AGENTDOCK_MANAGER_STORE_URL"


def create_store(settings: ManagerSettings) -> Store:
    """Return the store that the settings name; it is not open yet.

    Raises:
        SettingsError: the driver is missing, or does not take the URL.
    """
    url = settings.store.get_secret_value()
    if url.startswith(SQLITE):
        return SqliteStore(url.removeprefix(SQLITE))
    try:
        from manager.stores.mongo import MongoStore
    except ImportError as error:
        raise SettingsError(f"{STORE_URL}: MongoDB needs the package motor ({error})") from None
    try:
        return MongoStore(parse(url), settings.record_days)
    except ValueError as error:
        raise SettingsError(f"{STORE_URL}: {error}") from None


async def open_store(store: Store) -> None:
    """Open a store. One that managers share may be away: then the manager starts without it.

    Raises:
        StoreUnavailable: a store of our own cannot be used.
    """
    try:
        await store.open()
    except StoreUnavailable as error:
        if not isinstance(store, SharedStore):
            raise
        log.warning("starting without the store: %s", error.detail)


def create_launcher(settings: ManagerSettings, secret: str) -> Launcher:
    """Return the launcher that the settings name."""
    if settings.launcher == "external":
        return ExternalLauncher()
    return ProcessLauncher(
        settings.nodes,
        environ=os.environ,
        secret=secret,
        data_dir=settings.data_dir,
        manager_url=settings.url,
    )


def create_app(
    settings: ManagerSettings,
    *,
    store: Store | None = None,
    launcher: Launcher | None = None,
    announce: Callable[[str], None] | None = None,
) -> Front:
    """Assemble the manager.

    Args:
        settings: How.
        store: In place of the one that the settings name.
        launcher: In place of the one that the settings name.
        announce: Takes the text that tells what is ready; None for silence.

    Raises:
        OSError: no secret is set, and none can be kept in the data folder.
        SettingsError: see `create_store`.
    """
    secret = _secret(settings)
    store = store or create_store(settings)
    launcher = launcher or create_launcher(settings, secret)
    registry, link = Registry(), NodeLink(secret)
    recorder = _recorder(store, settings)
    fleet = Fleet(registry, link, launcher, store, FleetPolicy(lost_after_s=settings.lost_after_s))
    metrics = Metrics(registry, lambda: calls.in_flight, lambda: recorder.dropped)
    record = _each(metrics.count, recorder.add)
    calls = _call_service(settings, registry, link, secret, record, fleet.suspect)
    health = Health(registry, store, fleet, calls, recorder, outspoken=settings.loopback)
    reports = Reports(registry, store, link.drop)
    registrations = Registrations(store)
    registrar = Registrar(registrations, registry, link)
    parts = Parts(
        registry, store, link, fleet, reports, recorder, health, metrics, registrations, registrar
    )
    catalogue, tracing = _traced(calls, settings)
    banner = Banner(settings, registry, fleet, announce) if announce else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(files.close)
            await _open(parts, banner, stack)
            await stack.enter_async_context(tracing)
            await stack.enter_async_context(containers.run())
            await stack.enter_async_context(front.run())
            yield

    control = FastAPIOffline(title="AgentDock manager", version=__version__, lifespan=lifespan)
    _include(control, parts, settings)
    containers = Containers(registry, catalogue, __version__, settings.max_body_bytes)
    files = Files(registry, link, FileLink(secret), secret, fleet.suspect)
    front = Front(
        catalogue=catalogue,
        control=control,
        policy=_gate_policy(settings, secret),
        service="agentdock",
        raw=[RawRoute(None, PREFIX, containers), *files.routes()],
    )
    return front


def _traced(
    calls: CallService, settings: ManagerSettings
) -> tuple[Catalogue, AbstractAsyncContextManager[None]]:
    """Return the catalogue to offer, and what runs behind it.

    Raises:
        SettingsError: spans are asked for, and the extra is not installed.
    """
    if settings.otlp_endpoint is None:
        return calls, nullcontext()
    try:
        from manager.tracing import TracedCatalogue
    except ImportError as error:
        raise SettingsError(
            f"AGENTDOCK_MANAGER_OTLP_ENDPOINT: needs the extra otel; pip install "
            f"opentelemetry-sdk opentelemetry-exporter-otlp-proto-http ({error})"
        ) from None
    traced = TracedCatalogue(calls, settings.otlp_endpoint, __version__)
    return traced, traced.run()


def _call_service(
    settings: ManagerSettings,
    registry: Registry,
    link: NodeLink,
    secret: str,
    record: Callable[[CallRecord], None],
    suspect: Callable[[NodeRecord], None],
) -> CallService:
    return CallService(
        registry=registry,
        link=link,
        secret=secret,
        record=record,
        suspect=suspect,
        max_in_flight=settings.max_in_flight,
        record_bodies=settings.record_bodies,
    )


def _include(control: FastAPI, parts: Parts, settings: ManagerSettings) -> None:
    idle_first = partial(min, key=NodeRecord.load)
    for router in (
        *routers(parts),
        nodes_router(parts.registry, idle_first),
        resources_router(parts.health, settings.data_dir, settings.docker_socket),
    ):
        control.include_router(router)


def _recorder(store: Store, settings: ManagerSettings) -> Recorder:
    expires = isinstance(store, SharedStore)
    return Recorder(store, keep_days=None if expires else settings.record_days)


def _secret(settings: ManagerSettings) -> str:
    if settings.secret is not None:
        return settings.secret.get_secret_value()
    return kept_secret(settings.data_dir)


def _each(*takers: Callable[[CallRecord], None]) -> Callable[[CallRecord], None]:
    """Return what hands a record to every taker."""

    def take(record: CallRecord) -> None:
        for taker in takers:
            taker(record)

    return take


async def _open(parts: Parts, banner: Banner | None, stack: AsyncExitStack) -> None:
    """Start what runs behind the routes; the stack ends it in reverse."""
    await open_store(parts.store)
    stack.push_async_callback(_quietly, parts.store.close)
    await stack.enter_async_context(parts.reports.run())
    await stack.enter_async_context(parts.registrations.run())
    await stack.enter_async_context(parts.recorder.run())
    stack.callback(parts.link.close)
    if banner is not None:
        parts.registry.watch(banner.changed)
        await stack.enter_async_context(beside(banner.show(), "the banner"))
    await stack.enter_async_context(parts.fleet.run())


def _gate_policy(settings: ManagerSettings, secret: str) -> GatePolicy:
    anonymous = anonymous_caller(
        allowed=settings.anonymous, loopback=settings.loopback, keys=bool(settings.keys)
    )
    return GatePolicy(
        authenticate=Access(settings.keys, secret, anonymous).authenticate,
        hosts=settings.hosts,
        loopback=settings.loopback,
        origins=settings.origins,
        max_body_bytes=settings.max_body_bytes,
    )


async def _quietly(close: Callable[[], Awaitable[None]]) -> None:
    try:
        await close()
    except StoreUnavailable as error:
        log.warning("while closing: %s", error.detail)
