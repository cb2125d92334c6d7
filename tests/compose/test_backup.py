"""What docs/deploy.md says of copies: run as it stands, after which all is lost and comes back."""

from __future__ import annotations

import re

from tests.compose.deployment import ROOT, Deployment, eventually


def documented(deployment: Deployment, title: str) -> str:
    """Return the commands below a comment, for this project's volumes and images."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    found = re.search(rf"^    # {title}.*\n((?:    .*\n)+)", text, re.MULTILINE)
    assert found, title
    lines = re.sub(r"^    ", "", found[1], flags=re.MULTILINE)
    lines = lines.replace("agentdock_", f"{deployment.project}_")
    return lines.replace("agentdock-manager:0.1.0", f"agentdock-manager:{deployment.project}")


def test_a_copy_brings_back_registry_files_and_keys(deployment: Deployment) -> None:
    key = deployment.admin()
    entry = {"command": "python", "args": ["mcp_servers/echo.py"]}
    place, body = "/v1/servers/copied", {"profile": "explore", "entry": entry}
    assert deployment.client.put(place, json=body, headers=key).is_success
    assert deployment.client.put("/v1/files/a/kept", content=b"an agent's").status_code == 201
    try:
        deployment.run("bash", "-ec", documented(deployment, "Copy"))
        deployment.compose("down", "--volumes")
        assert not [it for it in deployment.left() if it.startswith("volume")]
        deployment.run("bash", "-ec", documented(deployment, "Bring back"), timeout=600)
        assert deployment.admin() == key
        assert deployment.client.get("/v1/files/a/kept").content == b"an agent's"

        def called() -> bool:
            return deployment.call("copied__echo", text="hello").status_code == 200

        eventually(called, 20)
        owner = "stat -c %u:%g /data/files"
        assert deployment.inside(deployment.containers("agentdock-node-full")[0], owner) == (
            "10001:10001\n"
        )
    finally:
        deployment.up()
        deployment.client.delete(place, headers=deployment.admin())
        deployment.client.delete("/v1/files/a/kept")
