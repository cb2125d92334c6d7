"""What the settings of a user's two files come to, as Compose reads them."""

from __future__ import annotations

import json
import re

import pytest

from tests.compose.deployment import MANAGER, NODES, Deployment

KEY = "AGENTDOCK_NODE_MANAGER_URL"


def environment(deployment: Deployment, service: str) -> dict[str, str]:
    said = json.loads(deployment.compose("config", "--format", "json"))
    return dict(said["services"][service]["environment"])


@pytest.mark.parametrize("node", NODES)
def test_each_setting_of_a_node_may_be_in_either_file(built: Deployment, node: str) -> None:
    listed = (built.folder / "deploy" / "node-settings.env").read_text()
    names = re.findall(r"^[A-Z][A-Z0-9_]+", listed, re.MULTILINE)
    assert KEY in names
    both, own = ([f"{it}=of-{file}-{it}" for it in names] for file in ("both", "nodes"))
    with built.having(*both):
        got = environment(built, node)
        assert {name: got.get(name) for name in names} == {it: f"of-both-{it}" for it in names}
        with built.having(*own, "MINE=1", file=".env.nodes"):
            got = environment(built, node)
            assert {it: got.get(it) for it in names} == {it: f"of-nodes-{it}" for it in names}
            assert got["MINE"] == "1"
            managers = environment(built, MANAGER)
            assert not any("of-nodes" in str(it) for it in managers.values())


def test_what_is_set_in_the_file_of_nodes_alone_reaches_them(built: Deployment) -> None:
    with built.having("SERPER_API_KEY=for-nodes-only", file=".env.nodes"):
        got = environment(built, NODES[0])
    assert got["SERPER_API_KEY"] == "for-nodes-only"
    assert "BRAVE_API_KEY" not in got
    assert got[KEY] == "http://agentdock-manager:8080"
