"""Configurations of other programs, as they write them."""

from __future__ import annotations

from typing import Any

import pytest

from manager.configs import read_config, write_config
from wire.entry import check_form
from wire.errors import BadRequest
from wire.models import Registration

CURSOR = {
    "mcpServers": {
        "files": {
            "command": "npx",
            "args": ["-y", "@modelcontextprotocol/server-filesystem", "/data"],
            "env": {"LEVEL": 3, "TOKEN": "${env:FILES_TOKEN}"},
            "alwaysAllow": ["read"],
            "disabled": True,
        },
        "far": {"serverUrl": "https://x.test/mcp", "headers": {"Authorization": "Bearer abc123"}},
    }
}
VSCODE = {
    "inputs": [{"id": "key", "type": "promptString", "password": True}],
    "servers": {
        "asks": {"type": "stdio", "command": "x", "env": {"KEY": "${input:key}"}},
        "runs": {"type": "stdio", "command": "x", "cwd": "${workspaceFolder}"},
        "lost": {"type": "stdio", "command": "x", "args": ["${input:nowhere}"]},
        "near": {"type": "stdio", "command": "python", "args": ["-m", "y"]},
        "web": {"type": "http", "url": "https://x.test/mcp"},
        "env": {"command": "x", "envFile": ".env"},
    },
}
SERVER_JSON = {
    "name": "io.github.someone/weather.tool",
    "description": "Weather",
    "version": "1.2.0",
    "packages": [
        {"registryType": "oci", "identifier": "x/y", "transport": {"type": "stdio"}},
        {
            "registryType": "pypi",
            "identifier": "weather-mcp",
            "version": "1.2.0",
            "transport": {"type": "stdio"},
            "packageArguments": [
                {
                    "type": "named",
                    "name": "--units",
                    "value": "{units}",
                    "variables": {"units": {"default": "metric"}},
                },
                {"type": "positional", "value": "serve"},
            ],
            "environmentVariables": [
                {"name": "WEATHER_KEY", "isRequired": True, "isSecret": True},
                {"name": "COLOR", "default": "no"},
                {"name": "EXTRA"},
            ],
        },
    ],
}


def test_claude_and_cursor_entries_are_taken_in_our_words() -> None:
    config = read_config(CURSOR)
    assert config.faults == {}
    assert config.entries["files"] == {
        "command": "npx",
        "args": ["-y", "@modelcontextprotocol/server-filesystem", "/data"],
        "env": {"LEVEL": "3", "TOKEN": "${FILES_TOKEN}"},
        "enabled": False,
    }
    assert config.entries["far"]["url"] == "https://x.test/mcp"
    for name, entry in config.entries.items():
        check_form(name, entry)


def test_what_only_vs_code_could_fill_in_is_refused_by_itself() -> None:
    config = read_config({"mcp": VSCODE})
    assert list(config.entries) == ["asks", "near", "web"]
    assert config.entries["asks"]["env"] == {"KEY": "${KEY}"}, "a variable, where nobody is asked"
    assert "${workspaceFolder}" in config.faults["runs"]
    assert "${input:nowhere}" in config.faults["lost"]
    assert "envFile" in config.faults["env"]


def test_a_server_json_becomes_the_first_package_that_can_run() -> None:
    config = read_config({"server": SERVER_JSON})
    assert config.entries == {
        "weather-tool": {
            "command": "uvx",
            "args": ["weather-mcp==1.2.0", "--units", "metric", "serve"],
            "env": {"WEATHER_KEY": "${WEATHER_KEY}", "COLOR": "no"},
        }
    }


def test_a_remote_of_a_server_json_asks_for_its_required_headers() -> None:
    remote = {
        "type": "streamable-http",
        "url": "https://x.test/mcp",
        "headers": [
            {"name": "Authorization", "value": "Bearer {key}", "variables": {"key": {}}},
            {"name": "X-Trace", "isRequired": True},
        ],
    }
    config = read_config({"name": "a/far", "remotes": [remote]})
    assert config.entries["far"] == {
        "type": "http",
        "url": "https://x.test/mcp",
        "headers": {"Authorization": "Bearer ${FAR_KEY}", "X-Trace": "${FAR_X_TRACE}"},
    }


@pytest.mark.parametrize(
    "document",
    [
        {"name": "a/b", "packages": [{"registryType": "oci", "identifier": "x"}]},
        {"name": "a/b", "packages": [{"registryType": "npm"}]},
        {"name": "a/b", "packages": ["x"]},
        {
            "name": "a/b",
            "packages": [
                {
                    "registryType": "npm",
                    "identifier": "x",
                    "packageArguments": [
                        {"type": "positional", "valueHint": "dir", "isRequired": True}
                    ],
                }
            ],
        },
        {"name": "a/b", "remotes": []},
    ],
)
def test_a_server_json_that_cannot_run_here_says_why(document: dict[str, Any]) -> None:
    config = read_config(document)
    assert config.entries == {}
    assert config.faults["b"]


def test_lists_of_a_server_json_must_be_lists() -> None:
    with pytest.raises(BadRequest, match="packages"):
        read_config({"name": "x", "packages": 5})


@pytest.mark.parametrize("document", [{}, [], {"mcpServers": 3}, {"servers": []}, {"name": "x"}])
def test_what_is_no_configuration_is_refused(document: object) -> None:
    with pytest.raises(BadRequest, match="mcpServers"):
        read_config(document)


def registered(entry: dict[str, Any], name: str = "dice") -> Registration:
    return Registration(name=name, profile="*", revision=1, entry=entry)


FAR: dict[str, Any] = {
    "url": "https://canary:canary@x.test/mcp?key=canary",
    "headers": {"Authorization": "Bearer canary", "X-Plain": "shown"},
}


def test_an_export_for_vs_code_is_one_that_can_be_imported() -> None:
    near = {"command": "python", "args": ["-m", "y"], "env": {"A_KEY": "canary"}}
    document = write_config([registered(near), registered(FAR, "far")], "vscode")
    assert document["servers"]["dice"]["env"] == {"A_KEY": "${env:A_KEY}"}
    assert document["servers"]["far"]["type"] == "http"
    again = read_config(document)
    assert again.faults == {}
    assert again.entries["dice"]["env"] == {"A_KEY": "${A_KEY}"}


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "uvx", "args": ["weather==1.0", "serve"], "env": {"A": "1"}},
        {"command": "npx", "args": ["-y", "@scope/weather@1.0"]},
        {"command": "npx", "args": ["-y", "weather@1.0", "-y"]},
        {"url": "https://x.test/mcp", "type": "http", "headers": {"X-A": "1"}},
    ],
)
def test_an_exported_server_json_is_imported_as_what_it_was(entry: dict[str, Any]) -> None:
    document = write_config([registered(entry)], "server.json")
    assert read_config(document).entries == {"dice": entry}


def test_what_a_server_json_cannot_say_is_refused() -> None:
    with pytest.raises(BadRequest, match="cannot describe"):
        write_config([registered({"command": "dice"})], "server.json")
    with pytest.raises(BadRequest, match="name="):
        write_config([], "server.json")
