"""Who sent a request, as the gate found out, and how faces learn it from the ASGI scope."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wire.errors import BadRequest, Forbidden
from wire.models import Owner

SCOPE_KEY = "agentdock.caller"
_SESSION = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Caller:
    """A known caller. `key` is the key's name, never the key; `peer` is a manager or node."""

    key: str
    admin: bool = False
    peer: bool = False


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Return the caller that the gate put into the scope."""
    caller = scope[SCOPE_KEY]
    assert isinstance(caller, Caller)
    return caller


def require_admin(scope: Mapping[str, Any]) -> None:
    """Refuse a caller without the role `admin`.

    Raises:
        Forbidden: the caller's key has the role `agent`.
    """
    if not caller_of(scope).admin:
        raise Forbidden("This needs a key with the role admin; yours is agent.")


def require_peer(scope: Mapping[str, Any]) -> None:
    """Refuse everybody but managers and nodes, which know AGENTDOCK_SECRET.

    Raises:
        Forbidden: the request was not authenticated with the secret.
    """
    if not caller_of(scope).peer:
        raise Forbidden("Only managers and nodes may do this, with AGENTDOCK_SECRET as bearer.")


def owner_of(caller: Caller, session: str | None, mcp_session: str | None = None) -> Owner:
    """Return the Owner for a caller and the Session it named, if any.

    Args:
        caller: Who called.
        session: Value of `X-Session-Id`.
        mcp_session: Id of a handshake-era MCP session, used if `session` is None.

    Raises:
        BadRequest: the Session's name has other characters than letters, digits, `.`, `_`, `-`.
    """
    if session is None:
        return Owner(caller.key, f"mcp:{mcp_session}" if mcp_session else None)
    if not _SESSION.fullmatch(session):
        raise BadRequest(
            "X-Session-Id must be 1 to 128 letters, digits, dots, dashes, underscores."
        )
    return Owner(caller.key, session)
