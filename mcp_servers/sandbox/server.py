"""The MCP face of the sandbox: its tools, their schemas, and the time a call has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult, TextContent
from pydantic import AliasChoices, Field

from mcp_servers.sandbox import texts
from mcp_servers.sandbox.runner import CannotRun, Runner, TimeLimit

DEADLINE = "agentdock/timeout_s"
LONGEST_S = 600.0
MARGIN_S = 3.0
"""Seconds between the code's limit and the deadline: for SIGINT, SIGKILL and the answer."""

DESCRIPTION = """\
Run Python code and return what it printed, the value of its last expression, and its error if any.

The code runs in a new process with an empty working directory, which is deleted afterwards: nothing
is kept from one call to the next. It may run for 60 seconds; a caller that sets a deadline of its
own can have up to 600. Up to 1 MiB of stdout and of stderr is kept.

This process is not isolated: it has a time limit, memory and file size limits and an almost empty
environment, but it can read what the tool server can read and it can use the network."""


def create_server(runner: Runner) -> MCPServer:
    """Return the MCP server whose tools run code with `runner`."""
    server = MCPServer("sandbox")

    @server.tool(description=DESCRIPTION, structured_output=False)
    async def run_python_code(
        code_block: Annotated[
            str,
            Field(
                validation_alias=AliasChoices("code_block", "code"),
                description="Python code. The value of a last line that is an expression is shown.",
            ),
        ],
        context: Context,
        sandbox_id: Annotated[
            str,
            Field(description="Leave it empty: sandboxes that keep their state are not there yet."),
        ] = "",
    ) -> CallToolResult:
        if sandbox_id not in texts.THROW_AWAY:
            return _refusal(texts.no_such_sandbox(sandbox_id), "no_such_sandbox")
        try:
            run = await runner.run(code_block, time_limit(context.request_context.meta))
        except CannotRun as error:
            return _refusal(f"[ERROR]: The code was not run: {error}.", "not_run")
        text = texts.execution(run)
        run.truncated = run.truncated or len(text) > texts.MAX_TEXT
        return CallToolResult(
            content=[TextContent(type="text", text=texts.cut(text))],
            structured_content=texts.fields(run),
        )

    return server


def time_limit(meta: Mapping[str, Any] | None) -> TimeLimit:
    """Return how long code may run, given the `_meta` of its call.

    The platform hands on a deadline only if the caller named one; whoever did not gets the default.
    """
    deadline = (meta or {}).get(DEADLINE)
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline > 0:
        return TimeLimit()
    margin = min(MARGIN_S, deadline * 0.3)
    return TimeLimit(run_s=min(deadline - margin, LONGEST_S), grace_s=margin / 2)


def _refusal(text: str, kind: str) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content={"error_kind": kind},
        is_error=True,
    )
