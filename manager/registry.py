"""Which tools exist and on which nodes, as the nodes' reports say. In memory; no I/O."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from manager.homes import Homes
from manager.router import choose_area
from wire.errors import (
    NoNode,
    NotFound,
    PlatformError,
    ServerUnavailable,
    ToolAmbiguous,
    ToolNotFound,
)
from wire.faces.catalogue import IndexedTool, ToolIndex
from wire.files import FILES
from wire.models import NodeReport, NodeState, Scope, ServerReport, ServerState, ToolInfo

log = logging.getLogger(__name__)

RETRY_S = 1.0
RIVAL_S = 6.0
"""Silence after which a node may be another process at another address: over one report's time."""
AREA_AWAY_S = 600.0
"""How long files are looked for on a machine whose last node is lost or has left: it may come back,
and what was stored elsewhere meanwhile would not be found then."""
BACK_S = 30.0
"""How long a node that left may be back: one that is restarted says goodbye, too, and what it held
is there again then. Until it is over, its sandboxes are not called lost, nor its tools unknown."""
UNUSABLE = (ServerState.FAILED, ServerState.STOPPED)


class NodeRecord:
    """What the manager knows of one node.

    `state` is the node's word unless the manager judged it lost; `seen` is the clock's reading when
    the node last gave a sign of life, `reported` when it last reported, and `heard` whether it ever
    did to this manager. `suspect` means that a call
    to it failed and that it was not looked at since. `in_flight` counts the calls of this manager,
    `peak` the most of them at a time since the last report.
    """

    __slots__ = (
        "elsewhere",
        "heard",
        "id",
        "in_flight",
        "peak",
        "report",
        "reported",
        "saved",
        "seen",
        "state",
        "suspect",
        "url",
    )

    def __init__(self, report: NodeReport, now: float, state: NodeState) -> None:
        self.id = report.id
        self.url = report.url
        self.report = report
        self.state = state
        self.seen = now
        self.reported = now
        self.heard = False
        self.suspect = False
        self.saved: tuple[str, ...] | None = None
        self.in_flight = 0
        self.peak = 0
        self.elsewhere = 0

    def load(self) -> int:
        """Calls in flight: ours, and those of others that its last report counted."""
        return self.in_flight + self.elsewhere

    def has(self, capability: str) -> bool:
        """Whether the node says that it has a capability."""
        return capability in self.report.capabilities

    @property
    def serves_files(self) -> bool:
        """Whether it has a tool server that serves files, ready or not."""
        return any(server.files for server in self.report.servers)

    def server(self, name: str) -> ServerReport | None:
        """Return the node's word on one tool server."""
        return next((server for server in self.report.servers if server.name == name), None)


class Registry:
    """Nodes by id, and the tools they have.

    Args:
        clock: Returns seconds that only ever grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watchers: list[Callable[[], None]] = []
        self._nodes: dict[str, NodeRecord] = {}
        self._listed = ToolIndex(())
        self._known = self._listed
        self._offers: dict[tuple[str, str], list[NodeRecord]] = {}
        self._areas: frozenset[str] = frozenset()
        self._areas_away: dict[str, float] = {}
        self._homes = Homes()
        self._left: dict[str, tuple[float, NodeRecord]] = {}

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` after nodes, their states or their tools changed."""
        self._watchers.append(watcher)

    def apply(self, report: NodeReport) -> NodeRecord:
        """Take a node's statement in place of its last one."""
        now = self._clock()
        node = self._nodes.get(report.id)
        if node is None:
            node = self._nodes[report.id] = NodeRecord(report, now, report.state)
            log.info("node %s joined from %s", node.id, node.url)
            changed = True
        else:
            before = node.report.stamp
            changed = node.state is not report.state or not report.revision
            self._replace(node, report, now)
            changed = changed or report.stamp != before
        node.heard = True
        # The node counted a moment ago: calls of ours that ended since are nobody else's.
        node.elsewhere = max(0, report.in_flight - max(node.peak, node.in_flight))
        node.peak = node.in_flight
        if changed:
            self._rebuild()
        return node

    def _replace(self, node: NodeRecord, report: NodeReport, now: float) -> None:
        if node.state in (NodeState.LOST, NodeState.JOINING):
            log.info("node %s is back", node.id)
        elif node.url != report.url:
            log.warning("node %s moved from %s to %s", node.id, node.url, report.url)
        node.report = report
        node.url = report.url
        node.state = report.state
        node.seen = node.reported = now

    def excuse(self) -> None:
        """Hold no node's silence against it: reports could not reach us, whoever sent them."""
        for node in self._nodes.values():
            node.reported = self._clock()

    def remember(self, report: NodeReport) -> None:
        """Take in a node known from an earlier time. It is joining until it reports.

        It is not lost: that would tell callers that its sandboxes are gone, a second before it is
        back.
        """
        if report.id not in self._nodes:
            self._nodes[report.id] = NodeRecord(report, self._clock(), NodeState.JOINING)
            self._rebuild()

    def rival(self, report: NodeReport) -> NodeRecord | None:
        """Return the node that has the id of a report already, and is alive at another address.

        To take both in turns would break the calls on either at each of their reports.
        """
        known = self._nodes.get(report.id)
        if known is None or known.state in (NodeState.LOST, NodeState.JOINING):
            return None
        another = known.report.boot != report.boot and known.url != report.url
        return known if another and self._clock() - known.reported < RIVAL_S else None

    def lose(self, node: NodeRecord) -> None:
        """Judge a node lost: it gets no calls until it reports again."""
        node.state = NodeState.LOST
        node.suspect = False
        self._rebuild()

    def suspect(self, node: NodeRecord, suspect: bool) -> None:
        """Mark or clear a node that others should be preferred to."""
        if node.suspect is not suspect:
            node.suspect = suspect
            self._rebuild()

    def forget(self, node_id: str) -> None:
        """Drop a node that left.

        Raises:
            NotFound: no node has that id.
        """
        node = self._nodes.pop(node_id, None)
        if node is None:
            raise NotFound(f"There is no node {node_id!r}. GET /v1/nodes lists them.")
        left = {one.id: (since, one) for since, one in self._lately_left()}
        if node.state is not NodeState.LOST:
            left[node_id] = (self._clock(), node)
        self._left = left
        log.info("node %s left", node_id)
        self._rebuild()

    def nodes(self) -> list[NodeRecord]:
        """Return all nodes, lost ones too, by id."""
        return [self._nodes[node_id] for node_id in sorted(self._nodes)]

    def node(self, node_id: str) -> NodeRecord | None:
        """Return a node that is not lost."""
        node = self._nodes.get(node_id)
        return None if node is None or node.state is NodeState.LOST else node

    def may_be_back(self, node_id: str) -> bool:
        """Whether a node left so lately that it may only be restarted."""
        return node_id not in self._nodes and any(
            node.id == node_id for _, node in self._lately_left()
        )

    def _lately_left(self) -> list[tuple[float, NodeRecord]]:
        """Return when and which nodes left of late, those that are back included."""
        now = self._clock()
        return [(since, node) for since, node in self._left.values() if now - since < BACK_S]

    def area_of(self, owner: str) -> str:
        """Return the file area that keeps an Owner's files, also one that is away for a moment.

        It stays the same when another one comes. While no node names any, it is the unnamed one.
        """
        since = self._clock() - AREA_AWAY_S
        known = self._areas.union(area for area, left in self._areas_away.items() if left > since)
        home = self._homes.of(owner, FILES)
        if home in known:
            return home
        area = choose_area(known, owner) or ""
        if area and home is None:
            self._homes.note(owner, FILES, area)
        return area

    def tools(self, server: str | None = None) -> Sequence[ToolInfo]:
        """Return the tools that can be called, by server and name; of one server if named.

        Raises:
            NotFound: no tool server has that name.
        """
        if server is not None and not any(True for _ in self._reports(server)):
            raise NotFound(f"There is no tool server {server!r}. See GET /health for those known.")
        return self._listed.list(server)

    def servers(self) -> list[str]:
        """Return the names of the tool servers that nodes have, sorted."""
        live = (node for node in self._nodes.values() if node.state is not NodeState.LOST)
        return sorted({server.name for node in live for server in node.report.servers})

    def find(self, name: str, server: str | None = None) -> tuple[IndexedTool, list[NodeRecord]]:
        """Return the tool that `name` means and the nodes that can take a call to it now.

        Raises:
            ToolNotFound: no node has it, or lately had it.
            ToolAmbiguous: a bare name that several tool servers have.
            NoNode, ServerUnavailable: it is known, and cannot be called now.
        """
        try:
            tool = self._listed.find(name, server)
        except ToolNotFound as error:
            raise self._why_not(name, server, error) from None
        info = tool.info
        offers = self._offers.get((info.server, info.name))
        if offers is None:
            raise self._unavailable(info.server)
        return tool, offers

    def info(self, name: str) -> ToolInfo:
        """Return the tool that `name` means, whether a node is ready for it or not.

        Raises:
            ToolNotFound, ToolAmbiguous: as `find` does.
        """
        return self._listed.find(name).info

    def known(self, name: str, server: str | None = None) -> ToolInfo | None:
        """Return the tool that `name` means, also one that no node can be asked for now."""
        try:
            return self._known.find(name, server).info
        except PlatformError:
            return None

    def is_bare(self, name: str) -> bool:
        """Whether a name is that of a tool alone, without its server, on any node."""
        return any(tool.name == name for tool in self._known.list())

    def _why_not(self, name: str, server: str | None, error: ToolNotFound) -> PlatformError:
        """Tell a tool that is away from one that never was."""
        for index in (self._known, self._lately_known()):
            try:
                return self._unavailable(index.find(name, server).info.server)
            except ToolAmbiguous as ambiguous:
                return ambiguous
            except ToolNotFound:
                pass
        owner = server or name.partition("__" if "__" in name else ".")[0]
        reports = [report for _, report in self._reports(owner)]
        # One that was never ready has listed no tools yet: nobody can say that it has not this one.
        silent = [r for r in reports if r.state in UNUSABLE or not r.tools]
        return self._unavailable(owner) if silent else error

    def _lately_known(self) -> ToolIndex:
        """Index the tools of nodes that left of late; those of one that is back may still start."""
        had = ((node, server) for _, node in self._lately_left() for server in node.report.servers)
        servers = [server for node, server in had if self._may_come_again(node, server)]
        return ToolIndex({(s.name, tool.name): tool for s in servers for tool in s.tools}.values())

    def _may_come_again(self, node: NodeRecord, server: ServerReport) -> bool:
        """Whether a node that left may bring a tool server along: not if it is back without it."""
        back = self._nodes.get(node.id)
        return back is None or not back.report.servers or back.server(server.name) is not None

    def _unavailable(self, server: str) -> PlatformError:
        """Say why no node can take a call to a known tool server now."""
        reports = list(self._reports(server))
        live = [(node, r) for node, r in reports if node.state is not NodeState.LOST]
        if not reports:
            left = sorted(n.id for _, n in self._lately_left() if n.server(server) is not None)
            return gone_for_now(
                f"No node has the tool server {server!r} now: {', '.join(left) or 'its node'}"
            )
        if not live:
            names = ", ".join(sorted(node.id for node, _ in reports))
            return NoNode(
                f"No node has the tool server {server!r} now; known from {names}, which does not "
                "answer.",
                retry_after_s=RETRY_S,
            )
        ready = [node for node, r in live if r.state is ServerState.READY]
        if ready:
            states = ", ".join(f"{node.id} is {node.state}" for node in ready)
            return NoNode(
                f"No node takes calls to {server!r} now: {states}.", retry_after_s=RETRY_S
            )
        reasons = [f"on {n.id} it is {r.state.replace('_', ' ')}" for n, r in live]
        waits = [r.retry_after_s or RETRY_S for _, r in live if r.state not in UNUSABLE]
        return ServerUnavailable(
            f"The tool server {server!r} is not running: {'; '.join(reasons)}. "
            "GET /v1/servers tells why.",
            retry_after_s=min(waits, default=None),
        )

    def _reports(self, server: str) -> Iterator[tuple[NodeRecord, ServerReport]]:
        for node in self.nodes():
            report = node.server(server)
            if report is not None:
                yield node, report

    def _rebuild(self) -> None:
        """Index all tools anew; checkers compiled before are kept by the index."""
        listed: dict[tuple[str, str], ToolInfo] = {}
        known: dict[tuple[str, str], ToolInfo] = {}
        offers: dict[tuple[str, str], list[NodeRecord]] = {}
        for node in self.nodes():
            for server in node.report.servers:
                usable = node.state is not NodeState.LOST and server.state not in UNUSABLE
                ready = node.state is NodeState.READY and server.state is ServerState.READY
                for tool in server.tools:
                    key = (server.name, tool.name)
                    known.setdefault(key, tool)
                    if usable:
                        listed.setdefault(key, tool)
                    if ready:
                        offers.setdefault(key, []).append(node)
        self._listed = ToolIndex(listed.values(), self._listed)
        self._known = ToolIndex(known.values())
        # An owner's process is where it is: a node that is only suspected still has it.
        self._offers = {
            key: nodes if known[key].scope is Scope.SESSION else _trusted(nodes)
            for key, nodes in offers.items()
        }
        self._note_areas()
        for watcher in self._watchers:
            watcher()

    def _note_areas(self) -> None:
        here = (node for node in self._nodes.values() if node.state is not NodeState.LOST)
        # A node names its area when the tool server that serves files has started.
        areas = frozenset(node.report.files_area for node in here if node.report.files_area)
        away = self._areas_away | dict.fromkeys(self._areas - areas, self._clock())
        self._areas_away = {area: left for area, left in away.items() if area not in areas}
        self._areas = areas


def gone_for_now(what: str) -> NoNode:
    """Return the error that something is on a node that may only be restarted; `what` names it."""
    return NoNode(
        f"{what} left a moment ago. If it is only restarted, it is soon back.",
        retry_after_s=RETRY_S,
    )


def _trusted(nodes: list[NodeRecord]) -> list[NodeRecord]:
    """Leave suspects out, unless there is nobody else."""
    return [node for node in nodes if not node.suspect] or nodes
