"""What happens, in numbers for Prometheus, under the names that OpenTelemetry gives them.

Labels hold only names that nodes reported; what a caller made up is never a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as CounterMetric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from manager.registry import Registry
from manager.stores.calls import CallRecord

CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""Bounds in seconds, as OpenTelemetry's conventions for MCP give them."""

METHOD = "tools/call"


class Metrics:
    """Counts calls as they end, and looks at the registry when it is asked.

    Args:
        registry: What is known of nodes.
        in_flight: Returns how many calls run.
        dropped: Returns how many call records were dropped.
    """

    def __init__(
        self, registry: Registry, in_flight: Callable[[], int], dropped: Callable[[], int]
    ) -> None:
        self._collectors = CollectorRegistry()
        self._duration = Histogram(
            "mcp_server_operation_duration_seconds",
            "Time from a call's arrival to its end.",
            ["mcp_method_name", "gen_ai_tool_name", "server", "node", "error_type"],
            buckets=BUCKETS,
            registry=self._collectors,
        )
        volume = CounterMetric(
            "agentdock_call_bytes",
            "Bytes of calls, to and from tool servers.",
            ["direction"],
            registry=self._collectors,
        )
        self._sent = volume.labels("to")
        self._received = volume.labels("from")
        # Finding a histogram by its labels costs more than counting in it.
        self._found: dict[tuple[str, ...], Histogram] = {}
        self._collectors.register(_State(registry, in_flight, dropped))

    def count(self, record: CallRecord) -> None:
        """Count a call that ended. Cheap: it is on the path of every call."""
        error = "" if record.outcome == "ok" else record.outcome
        if record.server is None or record.node is None:
            key: tuple[str, ...] = ("", "", "", error)
        else:
            key = (record.tool, record.server, record.node, error)
        duration = self._found.get(key)
        if duration is None:
            duration = self._found[key] = self._duration.labels(METHOD, *key)
        duration.observe(record.duration_ms / 1000)
        self._sent.inc(record.request_bytes)
        self._received.inc(record.result_bytes)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._collectors)


class _State(Collector):
    """How things stand at the moment of asking."""

    def __init__(
        self, registry: Registry, in_flight: Callable[[], int], dropped: Callable[[], int]
    ) -> None:
        self._registry = registry
        self._in_flight = in_flight
        self._dropped = dropped

    def collect(self) -> Iterable[Metric]:
        """Return gauges of nodes, tool servers, calls in flight and dropped records."""
        nodes = self._registry.nodes()
        states: Counter[tuple[str, ...]] = Counter((str(node.state),) for node in nodes)
        servers: Counter[tuple[str, ...]] = Counter(
            (server.name, str(server.state)) for node in nodes for server in node.report.servers
        )
        yield _gauge("agentdock_nodes", "Nodes by state.", ["state"], states)
        yield _gauge(
            "agentdock_tool_servers", "Tool servers by state.", ["server", "state"], servers
        )
        yield _gauge("agentdock_calls_in_flight", "Calls running.", [], {(): self._in_flight()})
        yield _gauge(
            "agentdock_call_records_dropped", "Records not kept.", [], {(): self._dropped()}
        )


def _gauge(
    name: str, help: str, labels: list[str], values: Mapping[tuple[str, ...], int]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
