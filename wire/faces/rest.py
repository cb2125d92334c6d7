"""The `/v1` face: list tools, call a tool. The call is a raw handler: it is the hot path."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import orjson

from wire.errors import BadRequest, NotFound
from wire.faces.catalogue import Catalogue
from wire.faces.envelope import build_call, envelope, parse_object
from wire.faces.http import Receive, Scope, Send, read_body, send_json, unless_hung_up
from wire.models import ToolInfo

PREFIX = "/v1/tools"
CALL_SUFFIX = "/call"


class RestFace:
    """Serves `GET /v1/tools`, `GET /v1/tools/{tool}` and `POST /v1/tools/{tool}/call`."""

    def __init__(self, catalogue: Catalogue, max_body_bytes: int) -> None:
        self._catalogue = catalogue
        self._max_body_bytes = max_body_bytes

    async def call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /v1/tools/{tool}/call`."""
        path: str = scope["path"]
        if not path.endswith(CALL_SUFFIX):
            raise NotFound(
                "POST /v1/tools/{tool}/call calls a tool; there is nothing else to post."
            )
        tool = path[len(PREFIX) + 1 : -len(CALL_SUFFIX)]
        body = parse_object(await read_body(receive, self._max_body_bytes))
        arguments = body.get("arguments", {})
        if not isinstance(arguments, dict):
            raise BadRequest("`arguments` must be a JSON object: the tool's arguments by name.")
        if unknown := body.keys() - {"arguments", "timeout_s"}:
            names = ", ".join(sorted(unknown))
            raise BadRequest(
                f"Unknown field: {names}. The tool's arguments belong inside `arguments`."
            )
        call = build_call(scope, tool, arguments, timeout_s=body.get("timeout_s"))
        outcome = await unless_hung_up(receive, self._catalogue.call(call))
        await send_json(send, 200, envelope(call, outcome))

    async def list(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `GET /v1/tools` and `GET /v1/tools/{tool}`."""
        query = dict(
            part.partition("=")[::2] for part in scope["query_string"].decode("latin-1").split("&")
        )
        form = query.get("format", "agentdock")
        if form not in ("agentdock", "openai"):
            raise BadRequest("format must be agentdock (the default) or openai.")
        server = unquote(query["server"]) if "server" in query else None
        show = describe_openai if form == "openai" else describe
        name = scope["path"][len(PREFIX) :].strip("/")
        if name:
            await send_json(send, 200, orjson.dumps(show(self._catalogue.find(name))))
            return
        tools = [show(tool) for tool in self._catalogue.tools(server)]
        await send_json(send, 200, orjson.dumps({"tools": tools}))


def describe(tool: ToolInfo) -> dict[str, Any]:
    """Return a tool as `/v1` lists it."""
    definition = tool.definition
    return {
        "name": tool.qualified,
        "server": tool.server,
        "tool": tool.name,
        "title": definition.get("title"),
        "description": tool.description,
        "input_schema": tool.input_schema,
        "output_schema": definition.get("outputSchema"),
        "annotations": definition.get("annotations"),
        "idempotent": tool.idempotent,
        "timeout_s": tool.timeout_s,
    }


def describe_openai(tool: ToolInfo) -> dict[str, Any]:
    """Return a tool as a function-calling schema, under its qualified name."""
    return function_schema(tool, tool.qualified)


def function_schema(tool: ToolInfo, name: str) -> dict[str, Any]:
    """Return the function-calling schema of a tool under the given name."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": tool.description,
            "parameters": tool.input_schema,
        },
    }
