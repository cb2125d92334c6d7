"""A front over an in-memory catalogue, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from tests.fakes.memory_catalogue import MemoryCatalogue
from wire.errors import Unauthorized
from wire.faces.caller import Caller
from wire.faces.front import Front
from wire.faces.gate import GatePolicy

KEYS = {
    "agent-key-0123456789": Caller("alice"),
    "admin-key-0123456789": Caller("ops", admin=True),
}


def authenticate(key: str | None) -> Caller:
    """Know two keys, and nobody without one as `anonymous`."""
    if key is None:
        return Caller("anonymous", admin=True)
    if key not in KEYS:
        raise Unauthorized("That key is not known here.")
    return KEYS[key]


def front_over(catalogue: MemoryCatalogue, **policy: object) -> Front:
    """Assemble a front as the services do."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with front.run():
            yield

    settings = {
        "authenticate": authenticate,
        "hosts": frozenset[str](),
        "loopback": True,
        "max_body_bytes": 100_000,
    }
    control = FastAPI(lifespan=lifespan, title="test", version="1")

    @control.post("/take")
    async def take(body: dict[str, str]) -> dict[str, str]:
        return body

    front = Front(
        catalogue=catalogue,
        control=control,
        policy=GatePolicy(**(settings | policy)),  # type: ignore[arg-type]  # a mapping of both
        service="test",
    )
    return front


Connect = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def connect() -> Connect:
    """Return a function that opens an HTTP client in front of a catalogue."""

    @asynccontextmanager
    async def open_client(
        catalogue: MemoryCatalogue, **policy: object
    ) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(front_over(catalogue, **policy))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client

    return open_client
