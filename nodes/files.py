"""The node's part of `/v1/files` and `/v1/sandboxes`: hands each request to the tool server."""

from __future__ import annotations

from http import HTTPStatus

import httpcore
import orjson

from nodes.host import Host
from wire.errors import NotFound, ServerCrashed, ServerUnavailable
from wire.faces.caller import caller_of, owner_of
from wire.faces.envelope import SESSION
from wire.faces.gate import HEADERS_KEY
from wire.faces.http import Receive, Scope, Send, limited
from wire.files import MAX_FILE_BYTES, SANDBOXES, is_here
from wire.link import OWNER, owner_in, owner_value
from wire.relay import BrokenOff, NotReached, Relay

ORIGIN = "http://files"
RETRY_S = 1.0
CLOSE_S = 8.0
"""Seconds for a tool server to close an owner's sandboxes."""


class Files:
    """Relays to the socket of the one tool server whose entry says `files = true`."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ServerUnavailable: nobody serves files here now; nothing happened.
            ServerCrashed, TransferStalled: it began, and nobody knows how far it went.
        """
        if not is_here(scope["path"]):
            raise NotFound(f"There is nothing at {scope['path']}. See /docs.")
        headers = [(OWNER, owner_value(_owner(scope)))]
        receive = limited(receive, MAX_FILE_BYTES)
        with self._host.files() as socket:
            # A connection for each request: a kept one would lead to a process that was replaced.
            async with httpcore.AsyncConnectionPool(uds=socket) as pool:
                try:
                    await Relay(pool).pass_on(scope, receive, send, ORIGIN, headers)
                except NotReached as error:
                    raise ServerUnavailable(
                        f"The tool server does not serve files now: {error}.", retry_after_s=RETRY_S
                    ) from None
                except BrokenOff as error:
                    raise ServerCrashed(
                        f"The tool server broke off the transfer ({error}); look what is there."
                    ) from None


async def close_sandboxes(host: Host, owner: str) -> int:
    """Close an owner's sandboxes on this node and return how many there were.

    Raises:
        ServerUnavailable: the tool server that holds them does not answer now.
    """
    closed = 0
    for former in host.former_files():
        with former.held() as socket:
            closed += await _close_at(socket, owner)
    if host.serves_files():
        with host.files() as socket:
            closed += await _close_at(socket, owner)
    return closed


async def _close_at(socket: str, owner: str) -> int:
    """Close an owner's sandboxes at one process; see `close_sandboxes`."""
    async with httpcore.AsyncConnectionPool(uds=socket) as pool:
        try:
            answer = await pool.request(
                "DELETE",
                f"{ORIGIN}{SANDBOXES}",
                headers=[(OWNER, owner_value(owner))],
                extensions={"timeout": {"connect": CLOSE_S, "read": CLOSE_S, "pool": CLOSE_S}},
            )
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            raise ServerUnavailable(
                "The tool server does not close sandboxes now; try again.",
                retry_after_s=RETRY_S,
            ) from None
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return 0  # a tool server of files that knows no sandboxes
    return int(orjson.loads(answer.content)["closed"])


def _owner(scope: Scope) -> str:
    """Return whose files are meant: a manager names the owner, anybody else is it."""
    caller, headers = caller_of(scope), scope[HEADERS_KEY]
    named = headers.get(OWNER)
    if named is not None and caller.peer:
        return owner_in(named)
    session = headers.get(SESSION)
    return str(owner_of(caller, None if session is None else session.decode("latin-1")))
