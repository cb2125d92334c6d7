"""An agent with a key and a Session, as it meets the manager's HTTP API."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import httpx

MALLORY, ALICE, ADMIN = "mallory-key-0123456789", "alice-key-0123456789", "ops-key-0123456789"
"""Keys of the attacker, of the neighbour, and of whoever watches."""

CREATED = re.compile(r"sandbox_id: (\S+)")


@dataclass(frozen=True)
class Reply:
    """The answer to one call. `seconds` is how long it took; `raw` the whole body as text."""

    status: int
    raw: str
    body: dict[str, Any]
    seconds: float

    @property
    def text(self) -> str:
        return "\n".join(part.get("text", "") for part in self.body.get("content") or [])

    @property
    def fields(self) -> dict[str, Any]:
        return self.body.get("structured_content") or {}

    @property
    def stdout(self) -> str:
        return str(self.fields.get("stdout") or "")

    @property
    def is_error(self) -> bool:
        """Whether the tool refused, or the platform did."""
        return self.status != 200 or bool(self.body.get("is_error"))

    @property
    def code(self) -> str:
        """The platform error's code; empty if the tool answered."""
        return str(self.body.get("code", "")) if self.status != 200 else ""


class Agent:
    """Calls tools with its key and Session.

    Args:
        client: Reaches the manager; without a key of its own.
        key: The agent's key.
        session: Its Session; None for calls without one.
    """

    def __init__(self, client: httpx.AsyncClient, key: str, session: str | None) -> None:
        self._client = client
        self.headers = {"Authorization": f"Bearer {key}"}
        if session is not None:
            self.headers["X-Session-Id"] = session

    async def call(
        self, tool: str, arguments: dict[str, Any], timeout_s: float | None = None
    ) -> Reply:
        """Call a tool and return its answer, whatever it is."""
        body: dict[str, Any] = {"arguments": arguments}
        if timeout_s is not None:
            body["timeout_s"] = timeout_s
        return await self.request("POST", f"/v1/tools/{tool}/call", json=body)

    async def request(self, method: str, path: str, **more: Any) -> Reply:
        """Send any request as this agent."""
        headers = {**self.headers, **more.pop("headers", {})}
        started = time.monotonic()
        answer = await self._client.request(method, path, headers=headers, **more)
        seconds = time.monotonic() - started
        try:
            body = answer.json()
        except ValueError:
            body = {}
        return Reply(
            answer.status_code, answer.text, body if isinstance(body, dict) else {}, seconds
        )

    async def create(self, **arguments: Any) -> str:
        """Open a sandbox and return its id.

        Raises:
            AssertionError: there is none.
        """
        reply = await self.call("create_sandbox", arguments)
        found = CREATED.search(reply.text)
        assert found is not None, reply.raw
        return found[1]

    async def python(self, sandbox: str, code: str, timeout_s: float | None = None) -> Reply:
        """Run Python code in a sandbox."""
        arguments = {"code_block": code, "sandbox_id": sandbox}
        return await self.call("run_python_code", arguments, timeout_s)

    async def command(
        self, sandbox: str, line: str, timeout_s: float | None = None, **more: Any
    ) -> Reply:
        """Run a shell command in a sandbox."""
        arguments = {"command": line, "sandbox_id": sandbox, **more}
        return await self.call("run_command", arguments, timeout_s)

    async def close(self, sandbox: str) -> Reply:
        """Close a sandbox."""
        return await self.call("close_sandbox", {"sandbox_id": sandbox})

    async def sandboxes(self) -> Reply:
        """List the agent's sandboxes."""
        return await self.call("list_sandboxes", {})

    async def upload(self, sandbox: str, local: str, path: str | None = None) -> Reply:
        """Copy a file of the agent's area into a sandbox."""
        arguments = {"sandbox_id": sandbox, "local_file_path": local}
        if path is not None:
            arguments["sandbox_file_path"] = path
        return await self.call("upload_file_from_local_to_sandbox", arguments, 10)

    async def download(self, sandbox: str, path: str, name: str | None = None) -> Reply:
        """Copy a file of a sandbox into the agent's area."""
        arguments = {"sandbox_id": sandbox, "sandbox_file_path": path}
        if name is not None:
            arguments["local_filename"] = name
        return await self.call("download_file_from_sandbox_to_local", arguments, 10)

    async def fetch(self, sandbox: str, url: str, path: str | None = None) -> Reply:
        """Have a file of the internet fetched into a sandbox."""
        arguments = {"sandbox_id": sandbox, "url": url}
        if path is not None:
            arguments["sandbox_file_path"] = path
        return await self.call("download_file_from_internet_to_sandbox", arguments, 10)
