"""What is plugged into a node: plug, swap and unplug tool servers, list their tools, call them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson

from nodes.channel import Reply
from nodes.entries import Entry
from nodes.files_socket import FilesSocket
from nodes.lingering import is_elsewhere, refusal
from nodes.plug import Plug
from nodes.profile import Profile
from nodes.results import cut_texts, is_result
from nodes.surroundings import Surroundings
from nodes.unit import Unit
from nodes.units import unit_of
from wire.errors import NotFound, ServerError, ServerUnavailable
from wire.faces.catalogue import ToolIndex
from wire.link import call_params, inner_timeout
from wire.models import Call, Outcome, ServerReport, ServerState, ToolInfo

log = logging.getLogger(__name__)

DRAIN_MARGIN_S = 1.0


class Host:
    """The catalogue of one node. `apply` and the rest of it never wait for a tool server.

    Args:
        node_id: Named in outcomes.
        surroundings: What the tool servers share.
        on_change: Called after every change but that of load.
    """

    def __init__(
        self, node_id: str, surroundings: Surroundings, on_change: Callable[[], None]
    ) -> None:
        self.node_id = node_id
        self.draining = False
        self.profile_fault: str | None = None
        self._notes: Sequence[str] = ()
        self._surroundings = surroundings
        self._on_change = on_change
        self._plugs: dict[str, Plug] = {}
        self._leaving: set[Unit] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._index: ToolIndex | None = None
        self._last_index: ToolIndex | None = None

    # The catalogue.

    def tools(self, server: str | None = None) -> Sequence[ToolInfo]:
        """Return the tools that can be called now, sorted; of one server if named.

        Raises:
            NotFound: no tool server has that name.
        """
        if server is not None and server not in self._plugs:
            raise NotFound(f"There is no tool server named {server!r} on node {self.node_id}.")
        return self._tool_index().list(server)

    def servers(self) -> Sequence[str]:
        """Return the names of the tool servers, sorted."""
        return sorted(self._plugs)

    def find(self, name: str) -> ToolInfo:
        """Return the tool that `name` means.

        Raises:
            ToolNotFound, ToolAmbiguous: see `ToolIndex.find`.
        """
        return self._tool_index().find(name).info

    async def call(self, call: Call) -> Outcome:
        """Use a tool once, for an agent that speaks to this node directly.

        Raises:
            PlatformError: see `Catalogue.call`.
        """
        tool = self._tool_index().find(call.tool, call.server)
        call.arguments = tool.check(call.arguments)
        info = tool.info
        timeout_s = min(call.timeout_s or info.timeout_s, info.timeout_s)
        params = call_params(call, info.name, inner_timeout(timeout_s))
        reply = await self._request(info.server, params, timeout_s, str(call.owner))
        result = reply.message.get("result")
        if not is_result(result):
            raise _refused(info, reply)
        return Outcome(result, info, self.node_id, call.elapsed_ms())

    async def relay(
        self, server: str, params: bytes, timeout_s: float, owner: str | None = None
    ) -> bytes:
        """Hand the `params` of a `tools/call` to a tool server; return its response as it came.

        Args:
            server: The tool server's name.
            params: A JSON object in one line, spliced in unseen.
            timeout_s: Seconds until the call is given up.
            owner: Whose call it is; session-scoped tool servers need to know.

        Raises:
            PlatformError: there is no response.
        """
        return (await self._request(server, params, timeout_s, owner)).raw

    async def close_session(self, owner: str) -> int:
        """End the processes that belong to an owner alone; return how many there were."""
        return sum(await asyncio.gather(*(u.close_session(owner) for u in self._units())))

    def serves_files(self) -> bool:
        """Whether a tool server here is to serve files, be it ready or not."""
        return bool(self._files_units())

    @contextmanager
    def files(self) -> Iterator[str]:
        """Give the path of the socket on which files are served; a drain waits for its return.

        Raises:
            ServerUnavailable: nobody serves files here now.
        """
        units = self._files_units()
        if self.draining or not units:
            what = "is draining" if self.draining else "has no tool server that serves files"
            raise ServerUnavailable(f"Node {self.node_id} {what}.", retry_after_s=1.0)
        socket = units[0].files
        if socket is None:
            raise ServerUnavailable(
                f"Tool server {units[0].entry.name!r}, which serves files, is {units[0].state}.",
                retry_after_s=1.0,
            )
        with socket.held() as path:
            yield path

    def former_files(self) -> list[FilesSocket]:
        """Return where files were served by those who were replaced and still hold some."""
        return [socket for plug in self._plugs.values() for socket in plug.lingering.files()]

    def _files_units(self) -> list[Unit]:
        return [p.current for p in self._plugs.values() if p.current and p.current.entry.files]

    async def _request(
        self, server: str, params: bytes, timeout_s: float, owner: str | None
    ) -> Reply:
        plug = self._plugs.get(server)
        if plug is None:
            raise ServerUnavailable(f"No tool server {server!r} is plugged into {self.node_id}.")
        if self.draining:
            raise ServerUnavailable(f"Node {self.node_id} is draining.", retry_after_s=1.0)
        unit = plug.current
        if unit is None:
            raise plug.unavailable()
        reply = await unit.request(params, timeout_s, owner)
        if "error" in reply.message:
            reply = await self._ask_lingering(plug, reply, params, timeout_s, owner)
        limit = unit.entry.max_result_chars
        if limit is not None and cut_texts(reply.message, limit):
            return Reply(reply.message, orjson.dumps(reply.message))
        return reply

    async def _ask_lingering(
        self, plug: Plug, reply: Reply, params: bytes, timeout_s: float, owner: str | None
    ) -> Reply:
        """Ask who served before, if the reply says that it is they who know.

        Raises:
            PlatformError: nobody began the call.
        """
        if is_elsewhere(reply):
            reply = await plug.lingering.ask(params, timeout_s, owner) or reply
        refused = refusal(plug.name, reply)
        if refused is not None:
            raise refused
        return reply

    def _tool_index(self) -> ToolIndex:
        if self._index is None:
            tools = [tool for plug in self._plugs.values() for tool in plug.tools()]
            self._index = self._last_index = ToolIndex(tools, self._last_index)
        return self._index

    # What the node says of itself.

    @property
    def in_flight(self) -> int:
        """How many calls the node works on."""
        return sum(s.in_flight for s in self._units())

    @property
    def problems(self) -> list[str]:
        """What is wrong with the profile, each in a sentence."""
        plugs = sorted(self._plugs.items())
        broken = [f"{name}: {plug.fault}" for name, plug in plugs if plug.fault]
        return [*([self.profile_fault] if self.profile_fault else []), *broken, *self._notes]

    def servers_report(self) -> list[ServerReport]:
        """Return how each tool server stands, those that are leaving included, sorted by name."""
        reports = [plug.report() for plug in self._plugs.values()]
        reports += [s.report() for s in self._leaving if s.entry.name not in self._plugs]
        return sorted(reports, key=lambda report: report.name)

    # Plugging.

    def apply(self, profile: Profile) -> None:
        """Make what is plugged agree with a profile; what did not change is not touched."""
        self.profile_fault = profile.fault
        self._notes = profile.notes
        for name in self._plugs.keys() - profile.entries.keys() - profile.faults.keys():
            log.info("tool server %s is unplugged", name)
            self._retire(self._plugs.pop(name))
        for name, fault in profile.faults.items():
            self._plugs.setdefault(name, Plug(name)).fault = fault
        for name, entry in profile.entries.items():
            self._plug(self._plugs.setdefault(name, Plug(name)), entry)
        for name, plug in self._plugs.items():
            plug.source = profile.sources.get(name, "")
        self._changed()

    def report_fault(self, fault: str) -> None:
        """Note that the profile as a whole cannot be used; everything stays as it was."""
        self.profile_fault = fault
        self._changed()

    def restart(self, name: str) -> None:
        """Start a tool server anew: a new process takes over when it is ready, then the old drains.

        Raises:
            NotFound: no tool server has that name.
            ServerUnavailable: its entry is broken or not enabled.
        """
        plug = self._plugs.get(name)
        if plug is None:
            raise NotFound(f"There is no tool server named {name!r} on node {self.node_id}.")
        entry = plug.newest_entry()
        if entry is None or not entry.enabled:
            raise plug.unavailable()
        self._begin(plug, entry)
        self._changed()

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, and wait at most `timeout_s` seconds for the running ones."""
        self.draining = True
        self._changed()
        waits = [asyncio.create_task(s.drain(timeout_s)) for s in self._units()]
        if waits:
            await asyncio.wait(waits)

    async def close(self) -> None:
        """Stop every tool server, all at once. Safe to call twice."""
        self.draining = True
        for task in list(self._tasks):
            task.cancel()
        units = self._units()
        await asyncio.gather(*(s.stop() for s in units), return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._plugs.clear()
        self._leaving.clear()

    def _units(self) -> list[Unit]:
        plugged = [s for plug in self._plugs.values() for s in (plug.current, plug.coming) if s]
        return [*plugged, *self._leaving]

    def _plug(self, plug: Plug, entry: Entry) -> None:
        plug.fault = None
        if not entry.enabled:
            self._retire(plug)
            plug.entry = entry
        elif not plug.is_settled_with(entry):
            self._drop_coming(plug)
            if plug.current is None or plug.entry != entry:
                self._begin(plug, entry)

    def _begin(self, plug: Plug, entry: Entry) -> None:
        """Start a unit for `entry`; it takes the plug at once unless one serves there."""
        self._drop_coming(plug)
        unit = unit_of(entry, self._surroundings, self._changed)
        if plug.is_serving():
            plug.coming = unit
            self._spawn(self._swap(plug, unit))
        else:
            self._retire(plug)
            plug.current, plug.entry = unit, entry
        unit.start()

    async def _swap(self, plug: Plug, coming: Unit) -> None:
        """Let a new process take over when it is ready; if it never is, the old one stays."""
        await coming.settled.wait()
        if plug.coming is not coming:
            return
        plug.coming = None
        if coming.state is ServerState.READY:
            old, plug.current, plug.entry = plug.current, coming, coming.entry
            if old is not None and not coming.follow(old):
                if old.entry.linger_s:
                    self._leaving.add(old)
                    self._spawn(self._linger(plug, old))
                else:
                    self._leave(old)
        else:
            plug.refused, plug.refusal = coming.entry, coming.error
            self._leave(coming)
        self._changed()

    def _drop_coming(self, plug: Plug) -> None:
        """Forget a change that has not taken over, or did not start."""
        coming, plug.coming = plug.coming, None
        plug.refused = plug.refusal = None
        if coming is not None:
            self._leave(coming)

    def _retire(self, plug: Plug) -> None:
        self._drop_coming(plug)
        current, plug.current = plug.current, None
        if current is not None:
            self._leave(current)

    def _leave(self, unit: Unit) -> None:
        unit.refuse_calls()
        self._leaving.add(unit)
        self._spawn(self._drain_and_stop(unit))

    async def _linger(self, plug: Plug, old: Unit) -> None:
        try:
            await plug.lingering.keep(old)
        finally:
            self._leave(old)

    async def _drain_and_stop(self, unit: Unit) -> None:
        try:
            await unit.drain(unit.entry.timeout_s + DRAIN_MARGIN_S)
        finally:
            await unit.stop()
            self._leaving.discard(unit)
            self._changed()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _changed(self) -> None:
        self._index = None
        self._on_change()


def _refused(info: ToolInfo, reply: Reply) -> ServerError:
    error = reply.message.get("error")
    if isinstance(error, dict):
        return ServerError(
            f"Tool server {info.server!r} refused the call: {error.get('message')}",
            rpc_error=error,
        )
    return ServerError(f"Tool server {info.server!r} answered with something that is no result.")
