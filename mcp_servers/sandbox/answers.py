"""Results of the sandbox's tools: text for the model, fields for programs, pictures."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent

from mcp_servers.sandbox import texts
from mcp_servers.sandbox.run import Run


class Refused(Exception):
    """The tool did nothing; the message is for the model, `kind` for programs."""

    def __init__(self, said: str, kind: str) -> None:
        super().__init__(said)
        self.kind = kind


async def answered(act: Awaitable[CallToolResult]) -> CallToolResult:
    """Return what a tool answers, a refusal included."""
    try:
        return await act
    except Refused as refusal:
        return CallToolResult(
            content=[TextContent(type="text", text=str(refusal))],
            structured_content={"error_kind": refusal.kind},
            is_error=True,
        )


def text(said: str, note: str = "", **fields: Any) -> CallToolResult:
    """Return a text and fields."""
    content: list[ContentBlock] = [TextContent(type="text", text=_noted(said, note))]
    if note:
        fields["note"] = note
    return CallToolResult(content=content, structured_content=fields or None)


def execution(run: Run) -> CallToolResult:
    """Return what became of Python code."""
    result = _cut(texts.execution(run), run)
    result.content += _pictures(run)
    return result


def command(run: Run, **fields: Any) -> CallToolResult:
    """Return what became of a command."""
    result = _cut(texts.command_result(run), run)
    result.structured_content = {**(result.structured_content or {}), **fields}
    return result


def script(run: Run, path: str, name: str) -> CallToolResult:
    """Return what became of code that was given as a file, as AgentDock's clients know it."""
    trace = run.error["traceback"] or run.error["value"] if run.error else ""
    printed = [run.stdout, run.stderr, *run.results, trace]
    answer = {
        "status": "error" if run.error else "success",
        "output": texts.cut("\n".join(part.rstrip("\n") for part in printed if part)),
        "file_path": path,
        "generated_filename": name,
    }
    said = json.dumps(answer, ensure_ascii=False)
    content: list[ContentBlock] = [TextContent(type="text", text=said), *_pictures(run)]
    return CallToolResult(content=content, structured_content={**texts.fields(run), **answer})


def _pictures(run: Run) -> list[ImageContent]:
    return [ImageContent(type="image", data=data, mime_type="image/png") for data in run.images]


def _cut(said: str, run: Run) -> CallToolResult:
    run.truncated = run.truncated or len(said) > texts.MAX_TEXT
    shown = _noted(texts.cut(said), run.note)
    content: list[ContentBlock] = [TextContent(type="text", text=shown)]
    return CallToolResult(content=content, structured_content=texts.fields(run))


def _noted(said: str, note: str) -> str:
    return f"{said}\n{note}" if note else said
