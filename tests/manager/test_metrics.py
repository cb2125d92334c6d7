"""What Prometheus reads."""

from __future__ import annotations

from manager.metrics import Metrics
from manager.registry import Registry
from manager.stores.calls import CallRecord
from tests.fakes.scripted_node import ScriptedNode


def record(tool: str, server: str | None, node: str | None, outcome: str) -> CallRecord:
    return CallRecord("id", tool, server, node, "alice/rollout-7", 0.0, 30.0, outcome, 10, 20)


def lines_of(metrics: Metrics) -> list[str]:
    return metrics.text().decode().splitlines()


def test_calls_are_counted_by_tool_node_and_kind_of_error() -> None:
    metrics = Metrics(Registry(), lambda: 3, lambda: 0)
    metrics.count(record("echo", "box", "one", "ok"))
    metrics.count(record("echo", "box", "one", "tool_error"))
    lines = lines_of(metrics)
    labels = 'error_type="%s",gen_ai_tool_name="echo",mcp_method_name="tools/call",node="one"'
    for kind in ("", "tool_error"):
        name = "mcp_server_operation_duration_seconds_count{" + labels % kind
        assert f'{name},server="box"}} 1.0' in lines
    assert 'agentdock_call_bytes_total{direction="from"} 40.0' in lines
    assert "agentdock_calls_in_flight 3.0" in lines


def test_what_a_caller_made_up_is_never_a_label() -> None:
    metrics = Metrics(Registry(), lambda: 0, lambda: 0)
    metrics.count(record("made-up-tool", None, None, "tool_not_found"))
    metrics.count(record("made-up-too", "made-up-server", None, "tool_not_found"))
    text = metrics.text().decode()
    assert "made-up" not in text
    assert "rollout-7" not in text
    assert 'error_type="tool_not_found"' in text


def test_nodes_and_tool_servers_are_counted_by_state() -> None:
    registry = Registry()
    registry.apply(ScriptedNode("one").report())
    registry.lose(registry.apply(ScriptedNode("two").report()))
    lines = lines_of(Metrics(registry, lambda: 0, lambda: 5))
    assert 'agentdock_nodes{state="ready"} 1.0' in lines
    assert 'agentdock_nodes{state="lost"} 1.0' in lines
    assert 'agentdock_tool_servers{server="echo",state="ready"} 2.0' in lines
    assert "agentdock_call_records_dropped 5.0" in lines
