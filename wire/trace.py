"""Trace context as callers send it (https://www.w3.org/TR/trace-context/), passed on in `_meta`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PARENT = "traceparent"
STATE = "tracestate"
MAX_STATE = 512

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def with_trace(
    meta: Mapping[str, Any] | None, headers: Mapping[bytes, bytes]
) -> dict[str, Any] | None:
    """Return the `_meta` of a call with the trace context that its sender named, if it named one.

    What stands in `_meta` comes before headers. A context that is not valid is left out, as the
    standard asks for.

    Args:
        meta: The caller's MCP `_meta`.
        headers: The headers of its request, in lower case.
    """
    found = dict(meta or {})
    parent, state = found.pop(PARENT, None), found.pop(STATE, None)
    if parent is None and PARENT.encode() in headers:
        parent = headers[PARENT.encode()].decode("latin-1")
        state = headers.get(STATE.encode(), b"").decode("latin-1")
    if isinstance(parent, str) and _PARENT.fullmatch(parent):
        found[PARENT] = parent
        if isinstance(state, str) and 0 < len(state) <= MAX_STATE and state.isprintable():
            found[STATE] = state
    return found or None


def trace_id(meta: Mapping[str, Any] | None) -> str | None:
    """Return the trace's id from the `_meta` of a call that went through `with_trace`."""
    parent = (meta or {}).get(PARENT)
    return parent.split("-")[1] if isinstance(parent, str) else None
