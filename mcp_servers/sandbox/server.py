"""The MCP face of the sandbox: its tools, by the names and arguments that agents know."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult
from pydantic import AliasChoices, Field

from mcp_servers.sandbox.answers import answered
from mcp_servers.sandbox.tools import Tools

HOME = "/home/user"
ALIASES = "agentdock/argument_aliases"
NAMES = "agentdock/names"

Id = Annotated[str, Field(description="The sandbox, by the id that create_sandbox returned.")]
Timeout = Annotated[
    float | None, Field(gt=0, description="Seconds it may take: 60 by default, at most 600.")
]
Code = Annotated[
    str,
    Field(
        validation_alias=AliasChoices("code_block", "code"),
        description="Python code. The value of a last line that is an expression is shown.",
    ),
]
Folder = Annotated[str, Field(description="Folder in the sandbox.")]

PYTHON = """\
Run Python code in a sandbox and return what it printed, the value of its last expression, its
figures, and its error if any.

Variables and files are kept from one call to the next in the same sandbox, as in a notebook. With
an empty sandbox_id the code runs in a sandbox of its own, of which nothing is kept. numpy, pandas,
matplotlib, scipy, sympy, openpyxl, lxml, pillow and requests are installed; there is no network."""

STATELESS = """\
Run Python code in a sandbox of its own, of which nothing is kept, and return what it printed, the
value of its last expression, its figures, and its error if any."""

COMMAND = """\
Run a shell command (bash) in a sandbox and return its output and exit code.

With background=true it goes on after this call: get_command_output tells what it printed, and
stop_command ends it."""


def create_server(tools: Tools, warning: str | None = None) -> MCPServer:
    """Return the MCP server whose tools these are.

    Args:
        tools: What they do.
        warning: What people are to know about how code is confined.
    """
    server = MCPServer("sandbox")
    facts = {"isolation": tools.sandboxes.level.name}
    _add_sandboxes(server, tools, facts | ({"warning": warning} if warning else {}))
    _add_code(server, tools)
    _add_commands(server, tools)
    _add_transfers(server, tools)
    return server


def _add_sandboxes(server: MCPServer, tools: Tools, facts: dict[str, str]) -> None:
    @server.tool(structured_output=False, meta={"agentdock/facts": facts})
    async def create_sandbox(
        context: Context,
        timeout: Annotated[  # noqa: ASYNC109 (the name that agents know)
            int, Field(description="Seconds without a call after which it expires; at most 600.")
        ] = 600,
    ) -> CallToolResult:
        """Open a sandbox: a machine of its own for code, commands and files. Return its id."""
        return await answered(tools.create(context.request_context.meta, timeout))

    @server.tool(structured_output=False)
    async def close_sandbox(sandbox_id: Id, context: Context) -> CallToolResult:
        """Close a sandbox: end what runs there and delete its files."""
        return await answered(tools.close(context.request_context.meta, sandbox_id))

    @server.tool(structured_output=False)
    async def list_sandboxes(context: Context) -> CallToolResult:
        """List your open sandboxes."""
        return await answered(tools.list(context.request_context.meta))


def _add_code(server: MCPServer, tools: Tools) -> None:
    @server.tool(
        description=PYTHON,
        structured_output=False,
        meta={ALIASES: {"code": "code_block"}, NAMES: ["python_code"]},
    )
    async def run_python_code(
        code_block: Code, context: Context, sandbox_id: Id = "", timeout_s: Timeout = None
    ) -> CallToolResult:
        meta = context.request_context.meta
        return await answered(tools.python(meta, code_block, sandbox_id, timeout_s))

    @server.tool(description=STATELESS, structured_output=False)
    async def python(
        code: Annotated[
            str,
            Field(validation_alias=AliasChoices("code", "code_block"), description="Python code."),
        ],
        context: Context,
        timeout_s: Timeout = None,
    ) -> CallToolResult:
        return await answered(tools.python(context.request_context.meta, code, "", timeout_s))

    @server.tool(structured_output=False)
    async def execute_code(
        code: Annotated[str, Field(description="Python code.")],
        context: Context,
        filename: Annotated[
            str | None, Field(description="Name for the file with the code.")
        ] = None,
        timeout_s: Timeout = None,
    ) -> CallToolResult:
        """Run Python code as a file and return status, output and where the file is, as JSON."""
        meta = context.request_context.meta
        return await answered(tools.execute(meta, code, filename, timeout_s))


def _add_commands(server: MCPServer, tools: Tools) -> None:
    @server.tool(description=COMMAND, structured_output=False)
    async def run_command(
        command: Annotated[str, Field(description="The command.")],
        context: Context,
        sandbox_id: Id = "",
        timeout_s: Timeout = None,
        background: Annotated[bool, Field(description="Whether it goes on by itself.")] = False,
    ) -> CallToolResult:
        meta = context.request_context.meta
        act = tools.command(meta, command, sandbox_id, timeout_s, background=background)
        return await answered(act)

    @server.tool(structured_output=False)
    async def get_command_output(
        sandbox_id: Id, command_id: str, context: Context
    ) -> CallToolResult:
        """Return what a command in the background has printed, and its exit code once it ended."""
        return await answered(tools.output(context.request_context.meta, sandbox_id, command_id))

    @server.tool(structured_output=False)
    async def stop_command(sandbox_id: Id, command_id: str, context: Context) -> CallToolResult:
        """End a command in the background and everything that it started."""
        return await answered(tools.stop(context.request_context.meta, sandbox_id, command_id))


def _add_transfers(server: MCPServer, tools: Tools) -> None:
    @server.tool(structured_output=False)
    async def upload_file_from_local_to_sandbox(
        sandbox_id: Id,
        local_file_path: Annotated[str, Field(description="A file among your local files.")],
        context: Context,
        sandbox_file_path: Folder = HOME,
    ) -> CallToolResult:
        """Copy one of your local files into a folder of a sandbox."""
        meta = context.request_context.meta
        act = tools.upload(meta, sandbox_id, local_file_path, sandbox_file_path)
        return await answered(act)

    @server.tool(structured_output=False)
    async def download_file_from_internet_to_sandbox(
        sandbox_id: Id,
        url: Annotated[str, Field(description="Address of the file.")],
        context: Context,
        sandbox_file_path: Folder = HOME,
    ) -> CallToolResult:
        """Download a file from the Internet into a folder of a sandbox."""
        meta = context.request_context.meta
        return await answered(tools.fetch(meta, sandbox_id, url, sandbox_file_path))

    @server.tool(structured_output=False)
    async def download_file_from_sandbox_to_local(
        sandbox_id: Id,
        sandbox_file_path: Annotated[str, Field(description="The file in the sandbox.")],
        context: Context,
        local_filename: Annotated[
            str | None, Field(description="Its name among your local files.")
        ] = None,
    ) -> CallToolResult:
        """Copy a file of a sandbox to your local files."""
        meta = context.request_context.meta
        act = tools.download(meta, sandbox_id, sandbox_file_path, local_filename)
        return await answered(act)
