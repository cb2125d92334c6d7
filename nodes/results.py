"""What a node may do to a result: nothing, unless the profile limits its length."""

from __future__ import annotations

from typing import Any, TypeGuard

MARK = "[Result truncated]"


def is_result(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value has the form of an MCP `CallToolResult`."""
    return isinstance(value, dict) and isinstance(value.get("content", []), list)


def cut_texts(message: dict[str, Any], limit: int) -> bool:
    """Cut the text parts of a response in place at a line end, `structuredContent` never.

    Args:
        message: A JSON-RPC response.
        limit: Characters that all text parts together may have.

    Returns:
        Whether something was cut.
    """
    result = message.get("result")
    if not is_result(result):
        return False
    left, cut = limit, False
    for part in result.get("content", []):
        text = part.get("text") if isinstance(part, dict) else None
        if not isinstance(text, str):
            continue
        if len(text) > left:
            part["text"] = _shorten(text, left)
            cut = True
        left = max(0, left - len(text))
    return cut


def _shorten(text: str, limit: int) -> str:
    kept = text[:limit]
    end = kept.rfind("\n")
    if end > 0 and text[limit] != "\n":
        kept = kept[:end]
    return f"{kept}\n{MARK}" if kept else MARK
