"""What the tools of this server have in common: results, and the time a call has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from mcp_types import CallToolResult, TextContent

DEADLINE = "agentdock/timeout_s"
MARGIN_S = 1.0
"""Seconds between our own deadline and the caller's: for the answer that explains it."""


def time_left_s(meta: Mapping[str, Any] | None) -> float | None:
    """Return how long a call may take, given its `_meta`; None if the caller did not say."""
    deadline = (meta or {}).get(DEADLINE)
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline > 0:
        return None
    return float(deadline - min(MARGIN_S, deadline * 0.2))


def result(text: str, fields: dict[str, Any], *, is_error: bool = False) -> CallToolResult:
    """Return a result: a text for the model, the same as fields for programs."""
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=fields,
        is_error=is_error,
    )


def as_json(fields: dict[str, Any]) -> str:
    """Return fields as the text of a result."""
    return orjson.dumps(fields).decode()
