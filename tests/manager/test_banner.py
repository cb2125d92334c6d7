from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from manager.banner import Banner
from manager.fleet import Fleet
from manager.node_link import NodeLink
from manager.registry import Registry
from manager.settings import ManagerSettings
from manager.stores.sqlite import SqliteStore
from tests.fakes.scripted_node import ScriptedNode, server, tool
from tests.manager.test_fleet import ScriptedLauncher
from wire.models import ServerState
from wire.settings import load


class Terminal:
    """A banner, and what it has said."""

    def __init__(self, link: NodeLink, folder: Path, *wanted: str, patience_s: float = 5.0) -> None:
        self.said: list[str] = []
        self.registry = Registry()
        fleet = Fleet(self.registry, link, ScriptedLauncher(*wanted), SqliteStore(":memory:"))
        settings = load(ManagerSettings, {"AGENTDOCK_DATA_DIR": str(folder)})
        self.banner = Banner(settings, self.registry, fleet, self.said.append, patience_s)
        self.registry.watch(self.banner.changed)


async def test_it_waits_for_all_wanted_nodes_and_their_servers(
    link: NodeLink, tmp_path: Path
) -> None:
    terminal = Terminal(link, tmp_path, "one", "two")
    showing = asyncio.ensure_future(terminal.banner.show())
    one, two = ScriptedNode("one"), ScriptedNode("two")
    box = tool("run_python_code", "sandbox")
    for report in (
        one.report(),
        two.report(server("sandbox", box, state=ServerState.STARTING)),
    ):
        await asyncio.sleep(0)
        terminal.registry.apply(report)
        await asyncio.sleep(0)
        assert terminal.said == []
    failed = server("web", state=ServerState.FAILED, error="no module named bs4")
    terminal.registry.apply(two.report(server("sandbox", box), failed))
    await asyncio.wait_for(showing, 5)
    (text,) = terminal.said
    assert "AgentDock is ready" in text
    assert "http://127.0.0.1:8080/v1/tools" in text
    assert "http://127.0.0.1:8080/mcp" in text
    assert "echo__echo" in text
    assert "no module named bs4" in text
    assert str(tmp_path / "logs") in text
    assert "curl" in text


async def test_when_patience_ends_it_says_what_is_missing_and_goes_on(
    link: NodeLink, tmp_path: Path
) -> None:
    terminal = Terminal(link, tmp_path, "one", patience_s=0.01)
    await asyncio.wait_for(terminal.banner.show(), 5)
    assert "node one has not joined yet" in terminal.said[0]
    assert "AgentDock is ready" not in terminal.said[0]


async def test_without_wanted_nodes_it_says_at_once_how_to_get_one(
    link: NodeLink, tmp_path: Path
) -> None:
    terminal = Terminal(link, tmp_path)
    await asyncio.wait_for(terminal.banner.show(), 5)
    assert "AGENTDOCK_NODE_MANAGER_URL" in terminal.said[0]
    assert "AgentDock is ready" not in terminal.said[0]


@pytest.mark.parametrize("keys", [None, "alice:agent:alice-key-0123456789"])
async def test_the_first_curl_shows_where_a_key_goes_but_never_one(
    link: NodeLink, tmp_path: Path, keys: str | None
) -> None:
    terminal = Terminal(link, tmp_path)
    settings = load(ManagerSettings, {"AGENTDOCK_MANAGER_API_KEYS": keys or ""})
    fleet = Fleet(terminal.registry, link, ScriptedLauncher(), SqliteStore(":memory:"))
    banner = Banner(settings, terminal.registry, fleet, print)
    box = server("sandbox", tool("run_python_code", "sandbox"))
    terminal.registry.apply(ScriptedNode().report(box))
    assert ("Bearer <key>" in banner.text()) is (keys is not None)
    assert "alice-key" not in banner.text()
