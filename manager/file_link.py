"""Relays files to nodes. Beside `node_link.py`, which has the calls, only this speaks to nodes."""

from __future__ import annotations

import httpcore

from manager.node_link import NotAccepted, Target
from wire.errors import NodeLost, NoNode
from wire.faces.http import Receive, Scope, Send, limited
from wire.files import MAX_FILE_BYTES
from wire.link import OWNER, owner_value
from wire.relay import IDLE_S, BrokenOff, NotKnown, NotReached, Relay

RETRY_S = 1.0
KEPT = 256
KEPT_S = 60.0

_UNKNOWN = (401, 421)
"""By these a node says that it does not know us; an agent would think that they mean its own key.
Files are never refused so."""


class FileLink:
    """Passes requests for files on to nodes, over connections that are kept.

    Args:
        secret: AGENTDOCK_SECRET, which nodes ask for.
        idle_s: Seconds without a byte, after which a transfer is given up.
    """

    def __init__(self, secret: str, idle_s: float = IDLE_S) -> None:
        self._authorization = (b"authorization", f"Bearer {secret}".encode())
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=None, max_keepalive_connections=KEPT, keepalive_expiry=KEPT_S
        )
        self._relay = Relay(self._pool, idle_s, _UNKNOWN)

    async def pass_on(
        self, node: Target, owner: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Hand one request to a node, and its answer back.

        Raises:
            NotAccepted: nothing was sent; nothing happened, and the body is still to be read.
            NoNode: it does not know this manager; nothing happened, but the body may be read.
            NodeLost, TransferStalled: it began, and nobody knows how far it went.
            BodyTooLarge: the body is over MAX_FILE_BYTES; nothing was stored.
        """
        headers = [self._authorization, (OWNER, owner_value(owner))]
        receive = limited(receive, MAX_FILE_BYTES)
        try:
            await self._relay.pass_on(scope, receive, send, node.url, headers)
        except NotReached as error:
            raise NotAccepted(f"{node.id}: {error}") from None
        except NotKnown as error:
            raise NoNode(
                f"{node.id} refused the manager: {error}. Nothing happened.", retry_after_s=RETRY_S
            ) from None
        except BrokenOff as error:
            raise NodeLost(
                f"Node {node.id} broke off the transfer ({error}); look what is there.",
                node=node.id,
            ) from None

    async def close(self) -> None:
        """Close the kept connections."""
        await self._pool.aclose()
