"""What /health shows of what tool servers say of themselves."""

from __future__ import annotations

import pytest

from manager.health import summary
from manager.views import Readiness
from tests.fakes.scripted_node import server, tool
from wire.models import NodeState, ServerState

READINESS = Readiness(
    status="ready",
    reasons=[],
    store="ok",
    nodes={"one": NodeState.READY, "two": NodeState.READY},
    servers={"sandbox": {"one": ServerState.READY, "two": ServerState.READY}},
    facts={"sandbox": {"one": {"isolation": "namespaces"}}},
    tools=1,
    calls_in_flight=0,
)


@pytest.mark.parametrize(
    ("meta", "facts"),
    [
        ({"agentdock/facts": {"isolation": "namespaces"}}, {"isolation": "namespaces"}),
        ({"agentdock/facts": {"a": "x" * 500, "number": 7, "deep": {"a": []}}}, {"a": "x" * 100}),
        ({"agentdock/facts": ["isolation"]}, {}),
        ({"agentdock/facts": None}, {}),
        ("isolation", {}),
        (None, {}),
    ],
)
def test_facts_are_short_texts_and_anything_else_is_passed_over(
    meta: object, facts: dict[str, str]
) -> None:
    box = tool("create_sandbox")
    box.definition["_meta"] = meta
    assert server("sandbox", tool("other"), box).facts == facts


def test_no_server_shows_more_than_twenty_facts() -> None:
    box = tool("create_sandbox")
    box.definition["_meta"] = {"agentdock/facts": {str(n): "x" for n in range(1000)}}
    assert len(server("sandbox", box).facts) == 20


def test_the_summary_shows_facts_behind_the_node_that_told_them() -> None:
    assert "sandbox: ready on one (isolation: namespaces), ready on two\n" in summary(READINESS)
