"""Configuration files as they really look, from the documentation of those who read them."""

from __future__ import annotations

from typing import Any

import pytest

from manager.configs import read_config
from manager.jsonc import read_jsonc
from wire.entry import check_form
from wire.errors import BadRequest

VSCODE = b"""\xef\xbb\xbf{
  // What a person is asked for, once
  "inputs": [
    {"type": "promptString", "id": "perplexity-key", "description": "Key", "password": true},
    {"type": "pickString", "id": "region", "options": ["eu", "us"], "default": "eu"},
    {"type": "command", "id": "picked", "command": "extension.pick"},
  ],
  "servers": {
    /* on this machine */
    "perplexity": {
      "type": "stdio",
      "command": "npx",
      "args": ["-y", "server-perplexity-ask", "https://x.test//path", "--region=${input:region}"],
      "env": {"PERPLEXITY_API_KEY": "${input:perplexity-key}", "UNSET": null, "PORT": 8080},
      "dev": {"watch": "src/**/*.ts"},
    },
    "github": {"url": "https://api.githubcopilot.com/mcp/"}, // remote
    "picked": {"command": "x", "args": ["${input:picked}"]}
  },
}
"""
DESKTOP = b"""{"globalShortcut": "", "mcpServers": {
  "memory": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-memory"],
             "env": {"MEMORY_FILE_PATH": "C:\\\\Users\\\\me\\\\m.json", "NOTE": "say \\"//\\", ]"}}
}}"""
CODE = b"""{"mcpServers": {
  "api": {"type": "http", "url": "${API_BASE:-https://api.test}/mcp",
          "headers": {"Authorization": "Bearer ${API_KEY}"}},
  "home": {"type": "stdio", "command": "${HOME:-/root}/bin/x", "args": []}
}}"""
CURSOR = b"""{"mcpServers": {
  "linear": {"url": "https://mcp.linear.app/sse"},
  "cline": {"type": "streamableHttp", "url": "https://x.test/sse", "timeout": 60,
            "autoApprove": [], "disabled": false},
  "gemini": {"httpUrl": "https://x.test/sse", "trust": true},
  "file": {"command": "python", "args": ["${workspaceFolder}/x.py"], "envFile": ".env"}
}}"""
REGISTRY = b"""{
  "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
  "name": "io.github.somebody/a-tool-server-whose-name-is-a-little-x-longer",
  "description": "Brave", "version": "1.0.2", "title": "Brave",
  "repository": {"url": "https://github.com/x/y", "source": "github"},
  "packages": [
    {"registryType": "oci", "identifier": "docker.io/mcp/brave:1.0.2", "runtimeHint": "docker",
     "transport": {"type": "stdio"},
     "runtimeArguments": [{"type": "named", "name": "--mount", "isRequired": true,
       "value": "type=bind,src={src},dst={dst}", "isRepeated": true,
       "variables": {"src": {"format": "filepath", "isRequired": true}, "dst": {}}}]},
    {"registryType": "npm", "registryBaseUrl": "https://registry.npmjs.org",
     "identifier": "@mcp/brave", "version": "1.0.2", "runtimeHint": "npx",
     "transport": {"type": "stdio"},
     "runtimeArguments": [{"type": "named", "name": "-y"}],
     "packageArguments": [{"type": "named", "name": "--port", "value": "80"},
                          {"type": "positional", "valueHint": "dir", "default": "/tmp"}],
     "environmentVariables": [
       {"name": "BRAVE_API_KEY", "description": "Key", "isRequired": true, "isSecret": true},
       {"name": "LOG_LEVEL", "choices": ["debug", "info"], "default": "info"}]}],
  "remotes": [{"type": "streamable-http", "url": "https://x.test/mcp"}]
}"""


def entries_of(body: bytes) -> dict[str, dict[str, Any]]:
    entries = read_config(read_jsonc(body)).entries
    for name, entry in entries.items():
        check_form(name, entry)
    return entries


def test_a_file_of_vs_code_with_comments_and_inputs_is_taken() -> None:
    assert entries_of(VSCODE) == {
        "perplexity": {
            "type": "stdio",
            "command": "npx",
            "args": [
                "-y",
                "server-perplexity-ask",
                "https://x.test//path",
                "--region=${REGION:-eu}",
            ],
            "env": {"PERPLEXITY_API_KEY": "${PERPLEXITY_KEY}", "PORT": "8080"},
        },
        "github": {"url": "https://api.githubcopilot.com/mcp/"},
    }
    assert "${input:picked}" in read_config(read_jsonc(VSCODE)).faults["picked"]


@pytest.mark.parametrize("inputs", [5, [1, None], [{"type": "promptString"}, {"id": {}}]])
def test_inputs_that_are_none_fill_in_nothing(inputs: object) -> None:
    document = {"inputs": inputs, "servers": {"a": {"command": "${input:x}"}}}
    assert "${input:x}" in read_config(document).faults["a"]


def test_a_file_of_claude_desktop_keeps_its_text_to_the_letter() -> None:
    env = entries_of(DESKTOP)["memory"]["env"]
    assert env == {"MEMORY_FILE_PATH": "C:\\Users\\me\\m.json", "NOTE": 'say "//", ]'}
    assert read_jsonc(DESKTOP[:-1] + b",}") == read_jsonc(DESKTOP)


def test_variables_of_claude_code_keep_their_defaults() -> None:
    entries = entries_of(CODE)
    assert entries["api"]["url"] == "${API_BASE:-https://api.test}/mcp"
    assert entries["home"]["command"] == "${HOME:-/root}/bin/x"


def test_remote_ones_of_other_editors_keep_their_transport() -> None:
    entries = entries_of(CURSOR)
    assert entries["linear"] == {"url": "https://mcp.linear.app/sse", "type": "sse"}
    assert entries["cline"] == {"url": "https://x.test/sse", "type": "http"}
    assert entries["gemini"] == {"url": "https://x.test/sse"}
    assert "file" in read_config(read_jsonc(CURSOR)).faults


def test_an_entry_of_the_official_registry_becomes_its_npm_package() -> None:
    assert entries_of(REGISTRY) == {
        "a-tool-server-whose-name-is-a-little-x-l": {
            "command": "npx",
            "args": ["-y", "@mcp/brave@1.0.2", "--port", "80", "/tmp"],
            "env": {"BRAVE_API_KEY": "${BRAVE_API_KEY}", "LOG_LEVEL": "info"},
        }
    }
    cut = REGISTRY.replace(b"a-tool-server-whose-name-is-a-little-x-longer", b"a" * 39 + b"-b")
    assert list(entries_of(cut)) == ["a" * 39]


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a": canary}', b"\xff", b'{"a": 1} // x \n canary', b"[" * 100_000]
)
def test_what_is_no_json_is_refused_and_not_quoted(body: bytes) -> None:
    with pytest.raises(BadRequest, match="no JSON") as caught:
        read_jsonc(body)
    assert "canary" not in caught.value.detail
