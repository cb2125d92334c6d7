"""Handles: ids that name the node holding the thing, signed so that no caller can forge a route.

A handle is `<node id>.<signature>.<random>`. The signature authenticates the route only; the tool
server that minted the handle checks who owns it.
"""

from __future__ import annotations

import hashlib
import hmac


def prefix(secret: str, node_id: str) -> str:
    """Return what every handle minted on `node_id` begins with, without the last dot."""
    signature = hmac.new(secret.encode(), b"handle:" + node_id.encode(), hashlib.sha256)
    return f"{node_id}.{signature.hexdigest()[:32]}"


def node_of(secret: str, value: object) -> str | None:
    """Return the node id in `value` if it is a handle that this secret signed, else None."""
    if not isinstance(value, str):
        return None
    node_id, _, rest = value.partition(".")
    if not rest:
        return None
    expected = prefix(secret, node_id) + "."
    given = value[: len(expected)]
    return node_id if hmac.compare_digest(given.encode(), expected.encode()) else None
