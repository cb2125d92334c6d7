"""What the documents name exists, and what exists is named."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import SecretStr

from manager.settings import ManagerSettings
from nodes.settings import NodeSettings
from tests.guards.source import ROOT
from wire import errors, models
from wire.settings import SharedSettings, load, names

API = ROOT / "docs" / "api.md"
GLOSSARY = ROOT / "docs" / "glossary.md"
README = ROOT / "README.md"
NOT_YET = ("mcp_servers/dice.py",)
"""Files that documents may name before they are there: a reader's own."""

SETTINGS: list[type[SharedSettings]] = [SharedSettings, ManagerSettings, NodeSettings]


def example() -> dict[str, str]:
    """Return the settings of .env.example with the values shown."""
    text = (ROOT / ".env.example").read_text()
    lines = re.findall(r"^# (AGENTDOCK_[A-Z_]+)=(.*)$", text, re.MULTILINE)
    found = dict(lines)
    assert len(found) == len(lines), "a setting is listed twice"
    return found


def test_the_example_of_settings_lists_every_setting_and_no_other() -> None:
    assert set(example()) == {name for kind in SETTINGS for name in names(kind).values()}


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_example_of_settings_shows_the_defaults(kind: type[SharedSettings]) -> None:
    """Someone who takes every # away gets what they would get without the file."""
    assert load(kind, example()) == load(kind, {})


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_setting_describes_itself(kind: type[SharedSettings]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


def test_each_setting_in_the_example_has_a_comment_above_it() -> None:
    blocks = (ROOT / ".env.example").read_text().split("\n\n")
    bare = [block for block in blocks if re.match(r"# AGENTDOCK_[A-Z_]+=", block)]
    assert bare == []


def test_every_error_code_is_explained_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", API.read_text(), re.MULTILINE))
    assert rows == {code: str(kind.http_status) for code, kind in tree().items()}


def tree() -> dict[str, type[errors.PlatformError]]:
    found: dict[str, type[errors.PlatformError]] = {}
    kinds: list[type[errors.PlatformError]] = [errors.PlatformError]
    while kinds:
        kind = kinds.pop()
        found[kind.code] = kind
        kinds += kind.__subclasses__()
    return found


def test_every_route_is_in_the_document_of_the_api() -> None:
    text = API.read_text()
    missing = [
        f"{method.upper()} {path}"
        for document in (manager_openapi(), node_openapi())
        for path, operations in document["paths"].items()
        for method in operations
        if f"`{method.upper()} {path}`" not in text
    ]
    assert missing == []


def test_every_route_has_a_summary_and_an_answer() -> None:
    for document in (manager_openapi(), node_openapi()):
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                assert operation.get("summary"), f"{method} {path}"
                assert operation["responses"], f"{method} {path}"


def test_every_door_of_mcp_is_in_openapi() -> None:
    paths = node_openapi()["paths"]
    doors = {"mcp": {"get", "post", "delete"}, "sse": {"get"}, "messages": {"post"}}
    for prefix in ("", "/servers/{server}"):
        assert {door: set(paths[f"{prefix}/{door}"]) for door in doors} == doors


def test_every_call_in_openapi_takes_a_session_and_a_deadline() -> None:
    paths = node_openapi()["paths"]
    calls = ["/v1/tools/{tool}/call", "/mcpapi/tool/{tool}", "/call_tool", "/mcp", "/messages"]
    calls += [f"/servers/{{server}}{path}" for path in ("/mcp", "/messages")]
    for path in calls:
        taken = {parameter["name"] for parameter in paths[path]["post"]["parameters"]}
        assert {"X-Session-Id", "X-Timeout-Seconds"} <= taken, path


def manager_openapi() -> dict[str, Any]:
    from manager.app import create_app
    from manager.launchers.external import ExternalLauncher

    settings = ManagerSettings(
        secret=SecretStr("only for this document"), store_url=SecretStr("sqlite:///:memory:")
    )
    return openapi(create_app(settings, launcher=ExternalLauncher()))


def node_openapi() -> dict[str, Any]:
    from nodes.app import create_app

    return openapi(create_app(NodeSettings(), {}))


def openapi(front: Any) -> dict[str, Any]:
    document: dict[str, Any] = front._control.openapi()
    return document


def test_every_make_target_is_in_the_readme() -> None:
    targets = re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "run" in targets
    text = README.read_text()
    assert [target for target in targets if f"make {target}" not in text] == []


def test_every_state_is_in_the_glossary() -> None:
    text = GLOSSARY.read_text()
    states = [*models.NodeState, *models.ServerState]
    assert [state for state in states if f"`{state}`" not in text] == []


def test_links_between_documents_lead_somewhere() -> None:
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    broken = [
        f"{document.name}: {target}"
        for document in [README, ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
        for target in link.findall(document.read_text())
        if not (document.parent / target).exists()
    ]
    assert broken == []


def test_paths_named_in_documents_exist() -> None:
    folders = "manager|nodes|wire|mcp_servers|tests|benchmarks|docs"
    named = re.compile(rf"`((?:{folders})/[\w/.-]+\.\w+)`")
    missing = [
        f"{document.name}: {path}"
        for document in [README, *(ROOT / "docs").rglob("*.md")]
        for path in named.findall(document.read_text())
        if path not in NOT_YET and not (ROOT / path).exists()
    ]
    assert missing == []
