"""`/v1/files` and `/v1/sandboxes`: finds the node that a request is for; the rest is relayed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from manager.file_link import FileLink
from manager.node_link import NodeLink, NotAccepted
from manager.registry import NodeRecord, Registry, gone_for_now
from manager.router import choose_node
from wire.errors import (
    NodeLost,
    NoNode,
    NotFound,
    Overloaded,
    PlatformError,
    SandboxLost,
    ServerUnavailable,
)
from wire.faces.caller import caller_of, owner_of
from wire.faces.envelope import SESSION
from wire.faces.front import RawRoute
from wire.faces.gate import HEADERS_KEY
from wire.faces.http import Receive, Scope, Send, send_json
from wire.files import FILES, SANDBOXES, is_here
from wire.handles import node_of
from wire.models import NodeState, ServerState

RETRY_S = 1.0
LIST_S = 5.0
ASKING = ("GET", "HEAD")
"""Requests that change nothing, and so may be sent twice."""

MAX_TRANSFERS = 2000
"""Most requests for files at a time; each holds two sockets."""


class Files:
    """Answers requests for files and sandboxes.

    Args:
        registry: Which nodes serve files.
        link: Asks nodes for lists.
        file_link: Relays everything else.
        secret: AGENTDOCK_SECRET, which signs handles.
        suspect: Told of a node that a request failed on.
        pick: Source of chance; returns an integer below its argument.
    """

    def __init__(
        self,
        registry: Registry,
        link: NodeLink,
        file_link: FileLink,
        secret: str,
        suspect: Callable[[NodeRecord], None],
        pick: Callable[[int], int] = lambda count: int(random.random() * count),
    ) -> None:
        self._registry = registry
        self._link = link
        self._file_link = file_link
        self._secret = secret
        self._suspect = suspect
        self._pick = pick
        self._running = 0

    def routes(self) -> list[RawRoute]:
        """Return where it is to be reached."""
        return [RawRoute(None, prefix, self) for prefix in (FILES, SANDBOXES)]

    async def close(self) -> None:
        """Let go of the connections to nodes."""
        await self._file_link.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            PlatformError: it reached no node, or broke off; see the table in docs/api.md.
        """
        path: str = scope["path"]
        owner = _owner(scope)
        if path == SANDBOXES and scope["method"] == "GET":
            await send_json(send, 200, orjson.dumps(await self._sandboxes(owner)))
        elif path == SANDBOXES or not is_here(path):
            raise NotFound(f"There is nothing at {path} to {scope['method']}. See /docs.")
        elif self._running >= MAX_TRANSFERS:
            raise Overloaded("The manager has too many transfers.", retry_after_s=RETRY_S)
        else:
            self._running += 1
            try:
                await self._pass_on(self._candidates(path, owner), owner, scope, receive, send)
            finally:
                self._running -= 1

    async def _pass_on(
        self,
        candidates: Sequence[NodeRecord],
        owner: str,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Hand a request to one of the nodes; to another one only if it was not taken, or asks."""
        failure: PlatformError | None = None
        while candidates:
            trusted = [node for node in candidates if not node.suspect]
            node = choose_node(trusted or candidates, None, NodeRecord.load, self._pick)
            assert node is not None
            try:
                return await self._file_link.pass_on(node, owner, scope, receive, send)
            except NotAccepted as error:
                self._suspect(node)
                failure = NoNode(
                    f"No node took the request: {error}. Nothing happened.", retry_after_s=RETRY_S
                )
            except (NodeLost, NoNode) as error:
                self._suspect(node)
                if scope["method"] not in ASKING:
                    raise
                failure = error
            candidates = [other for other in candidates if other is not node]
        raise failure or _none_serves()

    def _candidates(self, path: str, owner: str) -> Sequence[NodeRecord]:
        """Return the nodes that may take a request, at least one.

        An owner's files are in one file area, which the nodes of a machine share. A sandbox is on
        its node, and nowhere else.

        Raises:
            NoNode, ServerUnavailable: none can be asked now.
            NotFound, NoNode, SandboxLost: see `_holder`.
        """
        if path.startswith(SANDBOXES):
            return [self._holder(path[len(SANDBOXES) + 1 :].partition("/")[0])]
        area = self._registry.area_of(owner)
        nodes = [node for node in self._registry.nodes() if _why_not(node) is None]
        having = [node for node in nodes if node.report.files_area == area]
        if not having:
            raise _elsewhere() if nodes else _none_serves()
        return having

    def _holder(self, sandbox: str) -> NodeRecord:
        """Return the node that holds a sandbox.

        Raises:
            NotFound: the id is none that a node of ours gave.
            NoNode: the node may only be restarted.
            SandboxLost: the node is gone.
            ServerUnavailable: it is here, and cannot be asked now.
        """
        node_id = node_of(self._secret, sandbox)
        if node_id is None:
            raise NotFound(f"There is no sandbox {sandbox[:200]!r}.")
        node = self._registry.node(node_id)
        if node is None:
            if self._registry.may_be_back(node_id):
                raise gone_for_now(f"Node {node_id} of this sandbox")
            raise SandboxLost(
                f"Node {node_id} of this sandbox is gone, and what it held with it. Open a new "
                "one.",
                node=node_id,
            )
        why = _why_not(node)
        if why is not None:
            raise ServerUnavailable(
                f"Node {node_id}, which holds this sandbox, cannot be asked now: {why}.",
                retry_after_s=RETRY_S,
            )
        return node

    async def _sandboxes(self, owner: str) -> dict[str, Any]:
        """Return an owner's sandboxes on all nodes, and the nodes that could not be asked.

        Raises:
            NoNode: none could be asked.
        """
        nodes = [node for node in self._registry.nodes() if node.serves_files]
        answers = await asyncio.gather(*(self._ask(node, owner) for node in nodes))
        found: list[Any] = []
        failed: dict[str, str] = {}
        for node, answer in zip(nodes, answers, strict=True):
            if isinstance(answer, str):
                failed[node.id] = answer
            else:
                found += answer
        if len(failed) == len(nodes):
            reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
            raise NoNode(
                f"No node can be asked for sandboxes now. {reasons}".strip(), retry_after_s=RETRY_S
            )
        return {"sandboxes": found, "failed": failed}

    async def _ask(self, node: NodeRecord, owner: str) -> list[Any] | str:
        """Return an owner's sandboxes on a node, or why it could not be asked."""
        why = _why_not(node)
        if why is not None:
            return why
        try:
            body = await self._link.control(node, SANDBOXES, LIST_S, "GET", owner, b"")
            sandboxes = orjson.loads(body)["sandboxes"]
        except (NotAccepted, NodeLost) as error:
            self._suspect(node)
            return str(error)
        except PlatformError as error:
            return error.detail
        except (ValueError, LookupError, TypeError):
            return "it answered with something that is no list of sandboxes"
        return sandboxes if isinstance(sandboxes, list) else "it answered with no list"


def _none_serves() -> NoNode:
    return NoNode("No node serves files now.", retry_after_s=RETRY_S)


def _elsewhere() -> NoNode:
    return NoNode(
        "The machine that keeps your files has no node that serves them now.", retry_after_s=RETRY_S
    )


def _why_not(node: NodeRecord) -> str | None:
    """Return why a node cannot be asked for files now; None if it can."""
    if node.state is not NodeState.READY:
        return f"the node is {node.state}"
    server = next((server for server in node.report.servers if server.files), None)
    if server is None:
        return "none of its tool servers serves files"
    if server.state is not ServerState.READY:
        return f"its tool server {server.name!r} is {server.state.replace('_', ' ')}"
    return None


def _owner(scope: Scope) -> str:
    """Return whose files a request is about: never somebody that the request names itself."""
    session = scope[HEADERS_KEY].get(SESSION)
    return str(owner_of(caller_of(scope), None if session is None else session.decode("latin-1")))
