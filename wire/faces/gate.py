"""The gate in front of every face: which Host, which Origin, which content type, which key."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wire.errors import (
    HostRefused,
    NodeLost,
    OriginRefused,
    PlatformError,
    UnsupportedMediaType,
)
from wire.faces.caller import SCOPE_KEY, Caller
from wire.faces.http import Asgi, HungUp, Receive, Scope, Send, check_length
from wire.files import MAX_FILE_BYTES, takes_any_body

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/livez", "/readyz", "/health", "/alive"})
"""Health answers without a key, as load balancers and AgentDock's clients expect."""

Refuse = Callable[[Scope, Send, PlatformError], Awaitable[None]]
HEADERS_KEY = "agentdock.headers"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What a service lets in.

    Args:
        authenticate: Takes the presented key or None; returns the Caller or raises Unauthorized.
        hosts: Host names it answers for, beside the loopback names.
        loopback: It listens on loopback only; otherwise any IP literal is also its name, which no
            web page can point elsewhere (only names can be rebound).
        origins: Origins of web pages that may call it, beside its own.
        max_body_bytes: Longest body that faces read; a file may be longer.
    """

    authenticate: Callable[[str | None], Caller]
    hosts: frozenset[str]
    loopback: bool
    max_body_bytes: int
    origins: frozenset[str] = frozenset()

    def admits_host(self, host: str) -> bool:
        """Whether a Host header's value names this service."""
        name = _without_port(host).lower().rstrip(".")
        if name in LOOPBACK_NAMES or name in self.hosts:
            return True
        return not self.loopback and _is_address(name)

    def admits_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may call: our own pages, and those that are listed."""
        return origin in self.origins or origin.partition("://")[2] == host


class Gate:
    """ASGI application that lets a request through to `inner`, or says why not.

    It puts the Caller and the stripped headers into the scope. (uvicorn's httptools keeps trailing
    spaces in values, and the MCP SDK then refuses a valid request.)
    """

    def __init__(self, inner: Asgi, policy: GatePolicy, refuse: Refuse) -> None:
        """Guard `inner`; `refuse` tells a caller of an error in the shape that it reads."""
        self._inner = inner
        self._policy = policy
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request and pass it on; tell the caller of errors that come back."""
        if scope["type"] != "http":
            return await self._inner(scope, receive, send)
        started = False

        async def watch(message: dict[str, object]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            self._check(scope)
            await self._inner(scope, receive, watch)  # type: ignore[arg-type]  # dict is a Message
        except PlatformError as error:
            if started:
                raise
            await self._refuse(scope, send, error)
        except HungUp:
            log.debug("caller hung up: %s", scope["path"])
        except asyncio.CancelledError:
            if started:
                raise
            # The server is ending, and the time that running calls had is over.
            ending = NodeLost("The service is ending; the call may have run.")
            await self._refuse(scope, send, ending)
        except Exception:
            log.exception("unexpected fault while answering %s", scope["path"])
            if started:
                raise
            fault = PlatformError("The service met an unexpected fault; see its log.")
            await self._refuse(scope, send, fault)

    def _check(self, scope: Scope) -> None:
        scope["headers"] = [(name, value.strip()) for name, value in scope["headers"]]
        headers = dict(scope["headers"])
        scope[HEADERS_KEY] = headers
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._policy.admits_host(host):
            raise HostRefused(f"This service does not answer for the host {host!r}.")
        origin = headers.get(b"origin")
        if origin is not None and not self._policy.admits_origin(origin.decode("latin-1"), host):
            raise OriginRefused("Pages of this origin may not call this service.")
        limit = self._policy.max_body_bytes
        if takes_any_body(scope["method"], scope["path"]):
            # A file is of any type. No web page can send one unasked: for a PUT, unlike a form's
            # POST, a browser asks first (we refuse, unless the origin is listed), and it always
            # names the origin, which was checked above.
            limit = MAX_FILE_BYTES
        else:
            _check_content_type(scope["method"], headers)
        check_length(int(headers.get(b"content-length", b"0")), limit)
        if scope["path"] in OPEN_PATHS:
            scope[SCOPE_KEY] = Caller("anonymous")
        else:
            scope[SCOPE_KEY] = self._policy.authenticate(_presented(headers))


def _check_content_type(method: str, headers: dict[bytes, bytes]) -> None:
    """Refuse bodies that a web page could send without asking first (forms, plain text)."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return
    kind = headers.get(b"content-type")
    if kind is None:
        if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
            return
    elif kind.partition(b";")[0].strip().lower() == b"application/json":
        return
    raise UnsupportedMediaType("Send the body as JSON with Content-Type: application/json.")


def _presented(headers: dict[bytes, bytes]) -> str | None:
    """Return the key of `Authorization: Bearer` or `X-API-Key`; None if there is neither."""
    value = headers.get(b"authorization")
    if value is not None:
        scheme, _, token = value.decode("latin-1").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    key = headers.get(b"x-api-key")
    return None if key is None else key.decode("latin-1")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
