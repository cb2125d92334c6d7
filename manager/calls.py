"""A call's life in the manager: find, check, route, forward, record; deadline and re-send rule.

The path of every call: it starts no task, takes no lock, logs nothing and waits for no store.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import orjson

from manager.homes import Homes
from manager.node_link import NotAccepted
from manager.registry import NodeRecord, Registry, gone_for_now
from manager.router import choose_node
from manager.stores.calls import CallRecord
from wire.errors import (
    BadRequest,
    CallTimedOut,
    NodeLost,
    NoNode,
    Overloaded,
    PlatformError,
    SandboxLost,
    ServerError,
    ServerUnavailable,
)
from wire.handles import node_of
from wire.link import call_params, inner_timeout
from wire.models import Call, Outcome, Scope, ToolInfo
from wire.trace import trace_id

RETRY_S = 1.0
MAX_NAME = 128
"""Longest name that is recorded of a tool that may not exist, in characters."""


class Link(Protocol):
    """What calls need of the link to nodes; see `NodeLink.post`."""

    async def post(
        self,
        node: NodeRecord,
        server: str,
        params: bytes,
        call_id: str,
        timeout_s: float,
        owner: str | None = None,
    ) -> bytes:
        """Hand a call to a node and return the tool server's JSON-RPC response."""
        ...


class CallService:
    """The manager's catalogue: the tools of all nodes, and calls to them.

    Args:
        registry: Which tools exist and where.
        link: Speaks to nodes.
        secret: AGENTDOCK_SECRET, which signs handles.
        record: Takes the record of each call; must not wait.
        suspect: Told of a node that a call failed on.
        max_in_flight: Most calls at a time.
        record_bodies: Whether records carry arguments and results.
        pick: Source of chance; returns an integer below its argument.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        link: Link,
        secret: str,
        record: Callable[[CallRecord], None],
        suspect: Callable[[NodeRecord], None],
        max_in_flight: int,
        record_bodies: bool = False,
        pick: Callable[[int], int] = lambda count: int(random.random() * count),
    ) -> None:
        self._registry = registry
        self._link = link
        self._secret = secret
        self._record = record
        self._suspect = suspect
        self._max_in_flight = max_in_flight
        self._record_bodies = record_bodies
        self._pick = pick
        self._homes = Homes()
        self.in_flight = 0

    def tools(self, server: str | None = None) -> Sequence[ToolInfo]:
        """Return the tools that can be called, by server and name.

        Raises:
            NotFound: no tool server has that name.
        """
        return self._registry.tools(server)

    def servers(self) -> Sequence[str]:
        """Return the names of the tool servers, sorted."""
        return self._registry.servers()

    def find(self, name: str) -> ToolInfo:
        """Return the tool that `name` means.

        Raises:
            ToolNotFound, ToolAmbiguous: as the registry says.
        """
        return self._registry.info(name)

    async def call(self, call: Call) -> Outcome:
        """Use a tool once; see `Catalogue.call`.

        Raises:
            PlatformError: see the table of errors in docs/api.md.
        """
        if self.in_flight >= self._max_in_flight:
            raise Overloaded("The manager has too many calls in flight.", retry_after_s=RETRY_S)
        record = CallRecord(
            call.id,
            call.tool[:MAX_NAME],
            call.server,
            None,
            str(call.owner),
            time.time(),
            0.0,
            PlatformError.code,
            trace=trace_id(call.meta),
        )
        self.in_flight += 1
        try:
            outcome = await self._run(call, record)
            record.outcome = "tool_error" if outcome.is_error else "ok"
            return outcome
        except PlatformError as error:
            record.outcome = error.code
            raise
        except asyncio.CancelledError:
            record.outcome = "cancelled"
            raise
        finally:
            self.in_flight -= 1
            record.duration_ms = call.elapsed_ms()
            self._record(record)

    async def _run(self, call: Call, record: CallRecord) -> Outcome:
        try:
            tool, candidates = self._registry.find(call.tool, call.server)
        except PlatformError:
            known = self._registry.known(call.tool, call.server)
            if known is not None:
                record.tool, record.server = known.name, known.server
            raise
        if call.node is not None:
            candidates = [node for node in candidates if node.id == call.node]
        info = tool.info
        record.tool, record.server = info.name, info.server
        record.digest = _digest(call.arguments)
        if self._record_bodies:
            record.arguments = call.arguments
        call.arguments = tool.check(call.arguments)
        wish = call.timeout_s
        timeout_s = info.timeout_s if wish is None or wish > info.timeout_s else wish
        if not timeout_s > 0:
            raise BadRequest("The timeout must be a number of seconds above 0.")
        params = call_params(call, info.name, inner_timeout(inner_timeout(timeout_s)))
        record.request_bytes = len(params)
        handle_node = self._handle_node(info, call.arguments) if info.affinity else None
        reply = await self._forward(call, info, params, timeout_s, candidates, handle_node, record)
        record.result_bytes = len(reply)
        result = _result(info, reply)
        if self._record_bodies:
            record.result = result
        assert record.node is not None
        return Outcome(result, info, record.node, call.elapsed_ms())

    async def _forward(
        self,
        call: Call,
        info: ToolInfo,
        params: bytes,
        timeout_s: float,
        candidates: Sequence[NodeRecord],
        handle_node: str | None,
        record: CallRecord,
    ) -> bytes:
        """Hand the call to a node; to another one only if it did not run, or may run twice.

        A session-scoped tool server is never looked for on another node: it would be one that
        knows nothing of the Session.
        """
        owner = str(call.owner) if info.scope is Scope.SESSION else None
        preferred = self._preference(call, info, candidates)
        deadline = time.monotonic() + timeout_s
        failure: PlatformError | None = None
        while True:
            home = self._homes.of(owner, info.server) if owner is not None else None
            node = choose_node(
                candidates, handle_node, NodeRecord.load, self._pick, owner, preferred, home
            )
            if node is None:
                raise failure or _no_candidate(info, handle_node)
            if owner is not None:
                self._homes.note(owner, info.server, node.id)
            record.node = node.id
            node.in_flight += 1
            node.peak = max(node.peak, node.in_flight)
            try:
                return await self._link.post(node, info.server, params, call.id, timeout_s, owner)
            except NotAccepted as error:
                self._suspect(node)
                failure = NoNode(
                    f"No node took the call: {error}. Nothing ran.", retry_after_s=RETRY_S
                )
            except NodeLost as error:
                self._suspect(node)
                if not info.idempotent:
                    raise
                failure = error
            except (ServerUnavailable, Overloaded) as error:
                failure = error
            finally:
                node.in_flight -= 1
            if owner is not None:
                raise failure
            candidates = [other for other in candidates if other is not node]
            timeout_s = deadline - time.monotonic()
            if timeout_s <= 0:
                raise CallTimedOut("The call's time was over before a node took it.") from failure

    def _preference(
        self, call: Call, info: ToolInfo, candidates: Sequence[NodeRecord]
    ) -> Callable[[NodeRecord], bool] | None:
        """Return which nodes should rather take a call.

        A tool server that serves files works with those of the Owner, which are on one machine.
        """
        if capability := info.prefers:
            return lambda node: node.has(capability)
        first = candidates[0].report.files_area if candidates else ""
        if all(node.report.files_area == first for node in candidates):
            return None
        served = [node.server(info.server) for node in candidates]
        if not any(server is not None and server.files for server in served):
            return None
        area = self._registry.area_of(str(call.owner))
        return lambda node: node.report.files_area == area

    def _handle_node(self, info: ToolInfo, arguments: dict[str, Any]) -> str | None:
        """Return the id of the node that a handle in the arguments names.

        Raises:
            NoNode: that node may only be restarted.
            SandboxLost: that node is gone.
        """
        assert info.affinity is not None
        node_id = node_of(self._secret, arguments.get(info.affinity))
        if node_id is not None and self._registry.node(node_id) is None:
            if self._registry.may_be_back(node_id):
                raise gone_for_now(f"{info.affinity}: its node {node_id}")
            raise SandboxLost(
                f"{info.affinity}: its node {node_id} is gone, and what it held with it. "
                "Open a new one.",
                node=node_id,
            )
        return node_id


def _digest(arguments: dict[str, Any]) -> str | None:
    """Return what is the same for the same arguments, whatever the order of their names."""
    try:
        text = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None
    return blake2b(text, digest_size=12).hexdigest()


def _no_candidate(info: ToolInfo, handle_node: str | None) -> PlatformError:
    where = f"Node {handle_node}, which {info.affinity} names," if handle_node else "No node"
    verb = "does not take" if handle_node else "takes"
    return NoNode(f"{where} {verb} calls to {info.server!r} now.", retry_after_s=RETRY_S)


def _result(info: ToolInfo, reply: bytes) -> dict[str, Any]:
    """Return the tool's result from the tool server's JSON-RPC response.

    Raises:
        ServerError: the response is an error, or not a result.
    """
    try:
        message = orjson.loads(reply)
    except orjson.JSONDecodeError:
        message = None
    if isinstance(message, dict):
        result = message.get("result")
        if isinstance(result, dict):
            return result
        error = message.get("error")
        if isinstance(error, dict):
            text = str(error.get("message", "no reason given"))
            raise ServerError(f"Tool server {info.server!r} said: {text}", rpc_error=error)
    raise ServerError(f"Tool server {info.server!r} answered with something that is no result.")
