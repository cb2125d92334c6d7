from __future__ import annotations

from tests.fakes.scripted_node import server
from tests.manager.conftest import SECRET, Calls, StartNode
from wire import handles
from wire.models import ToolInfo


async def test_a_call_by_other_names_reaches_the_tool_under_its_own(
    calls: Calls, start_node: StartNode
) -> None:
    """The handle is found under its alias too, or the call would go to any node."""
    schema = {"properties": {"sandbox_id": {"type": "string"}}, "required": ["sandbox_id"]}
    meta = {"agentdock/argument_aliases": {"id": "sandbox_id"}, "agentdock/names": ["run"]}
    listed = {"name": "execute", "inputSchema": schema, "_meta": meta}
    info = ToolInfo(server="echo", name="execute", definition=listed, affinity="sandbox_id")
    one, two = await start_node(id="one"), await start_node(id="two")
    for node in (one, two):
        calls.know(node, server("echo", info))
    handle = handles.prefix(SECRET, "two") + ".x"
    for name in ("run", "echo.run", "execute"):
        outcome = await calls.call(name, arguments={"id": handle})
        assert outcome.node == "two"
    assert [request.params["name"] for request in two.calls] == ["execute"] * 3
    assert [request.params["arguments"] for request in two.calls] == [{"sandbox_id": handle}] * 3
    assert calls.service.tools()[0].definition == listed
