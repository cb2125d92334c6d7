"""Describes the raw faces in the OpenAPI document, which FastAPI makes only for its own routes."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.json_schema import models_json_schema

from wire.faces.file_operations import file_paths
from wire.faces.operations import REF, SESSION, body, model, operation, parameter

EVENTS = "text/event-stream"

_RESULT: dict[str, JsonValue] = {
    "call_id": "3f2a9c0d5b1e4a7788c6d210",
    "tool": "run_python_code",
    "server": "sandbox",
    "node": "explore",
    "is_error": False,
    "content": [{"type": "text", "text": "Execution(Results: [], Logs: ...)"}],
    "structured_content": {"stdout": "42\n", "exit_code": 0},
    "duration_ms": 31.4,
}
_FUNCTION = {
    "type": "function",
    "function": {"name": "sandbox.run_python_code", "description": "...", "parameters": {}},
}


class CallRequest(BaseModel):
    """What a call takes: the tool's arguments and, if wanted, a deadline."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"arguments": {"code_block": "print(6*7)"}}]},
    )

    arguments: dict[str, Any] = Field(default={}, description="The tool's arguments by name.")
    timeout_s: float | None = Field(
        None, gt=0, description="Seconds; the tool's own limit caps it. X-Timeout-Seconds too."
    )


class CallAnswer(BaseModel):
    """What a tool answered. `is_error` is the tool's own word; platform failures are problems."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RESULT]})

    call_id: str
    tool: str
    server: str
    node: str
    is_error: bool
    content: list[dict[str, Any]] = Field(description="MCP content parts, as the tool gave them.")
    structured_content: Any = None
    duration_ms: float


class Tool(BaseModel):
    """One tool. With `format=openai`, a function-calling schema instead."""

    name: str = Field(description="`server__tool`, to be used in calls.")
    server: str
    tool: str
    title: str | None
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    annotations: dict[str, Any] | None
    idempotent: bool
    timeout_s: float


class ToolList(BaseModel):
    """Every tool that can be called now, in a stable order."""

    tools: list[Tool]


class Problem(BaseModel):
    """RFC 9457 problem details with a stable `code` (listed in docs/api.md)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:agentdock:error:tool_not_found",
                    "title": "tool not found",
                    "status": 404,
                    "detail": "There is no tool named 'run_pyhton'. Did you mean run_python_code?",
                    "code": "tool_not_found",
                    "retryable": False,
                    "near": ["run_python_code"],
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool


def document_faces(app: FastAPI) -> None:
    """Make `app.openapi()` describe the faces beside the app's own routes."""
    own = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = own()
            models: list[type[BaseModel]] = [CallRequest, CallAnswer, ToolList, Problem]
            _, schemas = models_json_schema(
                [(model, "serialization") for model in models], ref_template=REF
            )
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(schemas["$defs"])
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            document["security"] = [{}, {"bearer": []}, {"key": []}]
            document["paths"] = _paths() | document["paths"]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way to extend it


def _paths() -> dict[str, Any]:
    return {
        "/v1/tools": {"get": _list_operation()},
        "/v1/tools/{tool}": {"get": _show_operation()},
        "/v1/tools/{tool}/call": {"post": _call_operation()},
        **_agentdock_paths(),
        **_mcp_paths(),
        **file_paths(),
    }


_TOOL = parameter("path", "tool", "`server__tool`, `server.tool`, or the bare name if unique.")
_FORMAT = parameter(
    "query", "format", "Shape of a tool.", type="string", enum=["agentdock", "openai"]
)
_TIMEOUT = parameter("header", "X-Timeout-Seconds", "Deadline in seconds.", type="number")
_MCP_SESSION = parameter("header", "Mcp-Session-Id", "The session, as `initialize` gave it.")
_SSE_SESSION = parameter("query", "session_id", "The session, as the stream's first event gave it.")
_STREAM = {"schema": {"type": "string"}}


def _list_operation() -> dict[str, Any]:
    server = parameter("query", "server", "Only the tools of this tool server.")
    return operation(
        "tools", "listTools", "List the tools", model("ToolList"), parameters=[_FORMAT, server]
    )


def _show_operation() -> dict[str, Any]:
    return operation(
        "tools", "showTool", "Show one tool", model("Tool"), parameters=[_TOOL, _FORMAT]
    )


def _call_operation() -> dict[str, Any]:
    return operation(
        "tools",
        "callTool",
        "Call a tool",
        model("CallAnswer"),
        parameters=[_TOOL, SESSION, _TIMEOUT],
        requestBody=body(model("CallRequest")),
    )


def _agentdock_paths() -> dict[str, Any]:
    tag = "AgentDock's clients"
    server = parameter("path", "server", "Name of a tool server.")
    tools = {"example": {"tools": [_FUNCTION]}}
    bare = {"example": {"server": "sandbox", "tools": [_FUNCTION]}}
    arguments = body({"example": {"code_block": "print(6*7)"}})
    function = {"name": "sandbox.run_python_code", "arguments": '{"code_block": "print(6*7)"}'}
    message = body({"example": {"id": "call_1", "type": "function", "function": function}})
    success = {"example": {"status": "success", "content": "42"}}
    reply = {"example": {"role": "tool", "tool_call_id": "call_1", "content": "42"}}
    return {
        "/mcpapi/servers": {
            "get": operation(
                tag, "mcpapiServers", "List the tool servers", {"example": {"servers": ["sandbox"]}}
            )
        },
        "/mcpapi/tools": {"get": operation(tag, "mcpapiTools", "List the tools", tools)},
        "/mcpapi/server/{server}/tools": {
            "get": operation(
                tag, "mcpapiServerTools", "List one server's tools", bare, parameters=[server]
            )
        },
        "/mcpapi/tool/{tool}": {
            "post": operation(
                tag,
                "mcpapiCall",
                "Call a tool with the body as its arguments",
                success,
                parameters=[_TOOL, SESSION, _TIMEOUT],
                requestBody=arguments,
            )
        },
        "/call_tool": {
            "post": operation(
                tag,
                "callToolMessage",
                "Answer an OpenAI tool call",
                reply,
                parameters=[SESSION, _TIMEOUT],
                requestBody=message,
            )
        },
        "/list_tools": {
            "get": operation(tag, "listToolsBare", "List the tools", {"example": [_FUNCTION]})
        },
    }


def _mcp_paths() -> dict[str, Any]:
    server = parameter("path", "server", "Name of a tool server.")
    return {
        **_mcp_doors("", "All", "all tools", []),
        **_mcp_doors("/servers/{server}", "One", "one server", [server]),
    }


def _mcp_doors(prefix: str, name: str, what: str, parameters: list[Any]) -> dict[str, Any]:
    """Return the paths under which a set of tools is offered over both transports."""
    answer = {"example": {"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}}
    accepted = {"schema": {"type": "string"}, "example": "Accepted"}
    post: dict[str, Any] = {
        "parameters": [*parameters, SESSION, _TIMEOUT],
        "requestBody": body({"example": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}}),
    }
    by_query: dict[str, Any] = {**post, "parameters": [*post["parameters"], _SSE_SESSION]}
    of_session: dict[str, Any] = {"parameters": [*parameters, _MCP_SESSION]}
    legacy, streamable = "MCP over legacy SSE", "MCP over streamable HTTP"
    return {
        f"{prefix}/mcp": {
            "post": operation("MCP", f"mcp{name}", f"{streamable}: {what}", answer, **post),
            "get": operation(
                "MCP",
                f"mcpStream{name}",
                "Messages of the server in a handshake-era session",
                _STREAM,
                media=EVENTS,
                **of_session,
            ),
            "delete": operation(
                "MCP", f"mcpEnd{name}", "End a handshake-era session", {}, **of_session
            ),
        },
        f"{prefix}/sse": {
            "get": operation(
                "MCP",
                f"sse{name}",
                f"{legacy}: {what}",
                _STREAM,
                media=EVENTS,
                parameters=parameters,
            )
        },
        f"{prefix}/messages": {
            "post": operation(
                "MCP",
                f"messages{name}",
                f"{legacy}: a message; its answer comes on the stream",
                accepted,
                status=202,
                media="text/plain",
                **by_query,
            )
        },
    }
