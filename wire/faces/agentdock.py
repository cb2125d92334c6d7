"""The face of OpenBMB's AgentDock: the paths and shapes that its clients were written for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from wire.errors import BadRequest, NotFound, PlatformError
from wire.faces.catalogue import Catalogue
from wire.faces.envelope import build_call, encode, parse_object
from wire.faces.http import Receive, Scope, Send, read_body, send_json, unless_hung_up
from wire.faces.rest import function_schema
from wire.models import Outcome, ToolInfo

TOOL_PREFIX = "/mcpapi/tool/"
SERVER_PREFIX = "/mcpapi/server/"
SERVER_SUFFIX = "/tools"


class AgentDockFace:
    """Serves `/mcpapi/*`, `/call_tool` and `/list_tools`."""

    def __init__(self, catalogue: Catalogue, max_body_bytes: int) -> None:
        self._catalogue = catalogue
        self._max_body_bytes = max_body_bytes

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path belongs to this face."""
        return path.startswith("/mcpapi/") or path in ("/call_tool", "/list_tools")

    async def servers(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `GET /mcpapi/servers`."""
        await _answer(send, {"servers": list(self._catalogue.servers())})

    async def tools(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `GET /mcpapi/tools`: every tool as `server.tool`."""
        await _answer(send, {"tools": _dotted(self._catalogue.tools())})

    async def list_tools(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `GET /list_tools`: the same as a bare list."""
        await _answer(send, _dotted(self._catalogue.tools()))

    async def server_tools(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `GET /mcpapi/server/{server}/tools`: one server's tools by bare name."""
        path: str = scope["path"]
        if not path.endswith(SERVER_SUFFIX):
            raise NotFound("GET /mcpapi/server/{server}/tools lists a tool server's tools.")
        server = path[len(SERVER_PREFIX) : -len(SERVER_SUFFIX)]
        tools = [function_schema(tool, tool.name) for tool in self._catalogue.tools(server)]
        await _answer(send, {"server": server, "tools": tools})

    async def call_by_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /mcpapi/tool/{tool}`; the body is the arguments."""
        tool = scope["path"][len(TOOL_PREFIX) :]
        arguments = parse_object(await read_body(receive, self._max_body_bytes))
        call = build_call(scope, tool, arguments)
        outcome = await unless_hung_up(receive, self._catalogue.call(call))
        if outcome.is_error:
            await _answer(send, {"status": "error", "content": {"error": _text(outcome)}})
        else:
            await _answer(send, {"status": "success", "content": _content(outcome)})

    async def call_by_message(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /call_tool`; the body is an OpenAI tool call, the answer a tool message."""
        message = parse_object(await read_body(receive, self._max_body_bytes))
        function = message.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest('Send {"id", "type": "function", "function": {"name", "arguments"}}.')
        arguments = function.get("arguments") or "{}"
        if isinstance(arguments, str):
            arguments = parse_object(arguments.encode(), "function.arguments")
        if not isinstance(arguments, dict):
            raise BadRequest("function.arguments must be a JSON object, written as a string.")
        call = build_call(scope, function["name"], arguments)
        outcome = await unless_hung_up(receive, self._catalogue.call(call))
        content = _text(outcome) if outcome.is_error else _content(outcome)
        await _answer(send, {"role": "tool", "tool_call_id": message.get("id"), "content": content})


async def send_failure(send: Send, error: PlatformError) -> None:
    """Tell of the platform's failure in the shape that AgentDock's clients read."""
    problem = error.problem()
    content = {"error": problem["title"], "detail": error.detail, "code": error.code}
    body = orjson.dumps({"status": "error", "content": content})
    await send_json(send, error.http_status, body, error.headers())


def _dotted(tools: Sequence[ToolInfo]) -> list[dict[str, Any]]:
    return [function_schema(tool, tool.dotted) for tool in tools]


async def _answer(send: Send, value: object) -> None:
    await send_json(send, 200, encode(value))


def _parts(outcome: Outcome) -> list[dict[str, Any]]:
    parts = outcome.result.get("content")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _text(outcome: Outcome) -> str:
    """Return what a tool said of its own failure."""
    parts = [_shape(part) for part in _parts(outcome)]
    return "\n".join(str(part["text"]) for part in parts if part["type"] == "text")


def _content(outcome: Outcome) -> Any:
    """Return a lone text part as its text, parsed if it is JSON; otherwise the list of parts."""
    parts = [_shape(part) for part in _parts(outcome)]
    if len(parts) != 1 or parts[0]["type"] != "text":
        return parts
    text = parts[0]["text"]
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _shape(part: dict[str, Any]) -> dict[str, Any]:
    """Return an MCP content part as an OpenAI message part."""
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": part.get("text", "")}
    if kind in ("image", "audio"):
        url = f"data:{part.get('mimeType')};base64,{part.get('data')}"
        return {"type": f"{kind}_url", f"{kind}_url": {"url": url}}
    resource = part.get("resource")
    if isinstance(resource, dict) and "text" in resource:
        return {"type": "text", "text": resource["text"]}
    return {"type": "text", "text": orjson.dumps(part).decode()}
