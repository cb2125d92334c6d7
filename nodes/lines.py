"""The lines of a conversation: JSON, read also where it is a little off."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson
from mcp_types import METHOD_NOT_FOUND

_ID = re.compile(rb'"id"\s*:\s*"?(\d{1,18})')
ID_WITHIN = 300
"""Bytes, from either end of an unreadable line, within which its id is looked for."""

NOT_OURS = -1


class NotJson(Exception):
    """The line is no JSON object; it is not part of the conversation."""


def parse_line(line: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Return a message and the line that carries it; None for a blank line.

    What strict JSON does not know and JavaScript and Python write all the same is mended in both:
    halves of surrogate pairs and bytes that are not UTF-8 become `?` or U+FFFD, NaN and infinities
    null. Else one cut emoji would cost the whole answer.

    Raises:
        NotJson: the line is something else.
    """
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        if not line.strip():
            return None
        message, line = _mend(line)
    if not isinstance(message, dict):
        raise NotJson
    return message, line


def _mend(line: bytes) -> tuple[Any, bytes]:
    try:
        message = json.loads(line.decode(errors="replace"), parse_constant=lambda _: None)
        mended = json.dumps(message, ensure_ascii=False).encode(errors="replace")
        return orjson.loads(mended), mended
    except (ValueError, RecursionError):
        raise NotJson from None


def own_id(value: object) -> int:
    """Return the id of a response, which some servers give back as text; else NOT_OURS."""
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() else NOT_OURS


def guess_id(line: bytes) -> int:
    """Return the id that an unreadable line seems to answer; else NOT_OURS."""
    match = _ID.search(line[:ID_WITHIN]) or _ID.search(line[-ID_WITHIN:])
    return int(match[1]) if match else NOT_OURS


def answer_to(method: object, number: object) -> dict[str, Any]:
    """Return the response to a request that a tool server began: it may ping, and no more."""
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": number}
    if method == "ping":
        return {**answer, "result": {}}
    refusal = f"The platform does not offer {method} to tool servers."
    return {**answer, "error": {"code": METHOD_NOT_FOUND, "message": refusal}}


def with_meta(params: bytes, meta: Mapping[str, Any]) -> bytes:
    """Return params with further keys in their `_meta`."""
    parsed = orjson.loads(params)
    parsed["_meta"] = {**(parsed.get("_meta") or {}), **meta}
    return orjson.dumps(parsed)
