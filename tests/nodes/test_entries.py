"""What one entry of a profile may say; each fault says what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nodes.entries import Place, parse_entry
from nodes.environment import PROJECT_ROOT, base_environment, find_command
from wire.entry import EntryFault, Transport
from wire.models import Scope

ENVIRON = {"KEY": "k1", "EMPTY": "", "AGENTDOCK_SECRET": "never to be seen"}


def fault_of(raw: object, name: str = "tools") -> str:
    with pytest.raises(EntryFault) as caught:
        parse_entry(name, raw, ENVIRON)
    return str(caught.value)


def with_extras(**extras: Any) -> dict[str, Any]:
    return {"command": "x", "agentdock": extras}


def test_an_entry_says_whom_a_process_serves_and_how_many_there_are() -> None:
    shared = parse_entry("tools", with_extras(processes=4, max_in_flight=2), {})
    assert (shared.scope, shared.processes, shared.max_in_flight) == (Scope.SHARED, 4, 2)
    session = parse_entry("tools", with_extras(scope="session"), {})
    assert (session.scope, session.session_idle_s, session.max_sessions) == (
        Scope.SESSION,
        600,
        64,
    )


def test_an_entry_holds_what_the_file_says_with_variables_expanded() -> None:
    raw: dict[str, Any] = {
        "command": "python",
        "args": ["-m", "x", "--key=${KEY}"],
        "env": {"A": "${KEY}", "B": "${NONE:-default}", "C": "${EMPTY:-default}"},
        "cwd": "tests",
        "agentdock": {
            "timeout_s": 630,
            "idempotent": ["look"],
            "env_pass": ["KEY", "UNSET"],
            "affinity": "sandbox_id",
            "max_result_chars": 100,
        },
    }
    entry = parse_entry("tools", raw, ENVIRON)
    assert entry.args == ("-m", "x", "--key=k1")
    assert entry.env == {"A": "k1", "B": "default", "C": "default", "KEY": "k1"}
    assert entry.cwd == PROJECT_ROOT / "tests"
    assert (entry.timeout_s, entry.affinity, entry.max_result_chars) == (630, "sandbox_id", 100)
    assert entry.idempotent == {"look"}
    assert entry == parse_entry("tools", raw, ENVIRON)


def test_an_entry_without_extras_has_the_documented_defaults() -> None:
    entry = parse_entry("tools", {"command": "x", "type": "stdio"}, {})
    assert (entry.timeout_s, entry.enabled, entry.cwd) == (60, True, PROJECT_ROOT)


@pytest.mark.parametrize(
    ("kind", "transport"),
    [
        (None, Transport.HTTP),
        ("http", Transport.HTTP),
        ("streamable-http", Transport.HTTP),
        ("sse", Transport.SSE),
    ],
)
def test_a_remote_entry_names_a_place_with_variables_expanded(
    kind: str | None, transport: Transport
) -> None:
    raw: dict[str, Any] = {
        "url": "https://tools.example/${KEY}/mcp",
        "headers": {"Authorization": "Bearer ${KEY}"},
        "agentdock": {"timeout_s": 5},
    } | ({"type": kind} if kind else {})
    entry = parse_entry("far", raw, ENVIRON)
    headers = {"Authorization": "Bearer k1"}
    assert entry.place == Place("https://tools.example/k1/mcp", headers, transport)
    assert entry.timeout_s == 5
    assert "k1" not in repr(entry)


def test_values_of_the_environment_are_not_in_an_entrys_text() -> None:
    entry = parse_entry("tools", {"command": "x", "env": {"A": "${KEY}"}}, ENVIRON)
    assert "k1" not in repr(entry)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"comand": "x"}, "`comand` is not a known key. Did you mean `command`?"),
        ({"command": "x", "timeout_s": 5}, "`timeout_s` belongs under"),
        ({"command": "x", "agentdock": {"timeout": 5}}, "Did you mean `timeout_s`?"),
        ({"command": "x", "agentdock": {"timeout_s": "5"}}, "`agentdock.timeout_s`"),
        ({"command": "x", "agentdock": {"timeout_s": 0}}, "`agentdock.timeout_s`"),
        ({"command": "x", "args": "-m x"}, "`args`"),
        ({"command": "x", "env": {"PORT": 80}}, "`env.PORT`"),
        ({"command": "x", "env": {"A": "${NONE}"}}, "needs NONE, which is not set"),
        ({"command": "x", "args": ["${AGENTDOCK_SECRET}"]}, "never given to a tool server"),
        ({"command": "x", "agentdock": {"env_pass": ["AGENTDOCK_*"]}}, "never given"),
        ({"command": "x", "agentdock": {"env_pass": ["*"]}}, "name"),
        ({"command": "x", "agentdock": {"env_pass": ["S*"]}}, "name"),
        ({"command": "x", "agentdock": {"env_pass": ["AGENTDOCK_SECRET"]}}, "never given"),
        ({"command": "x", "env": {"AGENTDOCK_INSTANCE": "y"}}, "never given"),
        ({"command": "x", "env": {"A B": "y"}}, "not the name of a variable"),
        ({"args": []}, "`command` is missing"),
        ({"command": ""}, "`command`"),
        ({"url": "http://x", "command": "x"}, "give one of them"),
        ({"command": "x", "type": "sse"}, "give one of them"),
        ({"command": "x", "type": "carrier pigeon"}, "`type`"),
        ({"type": "sse"}, "`url` is missing"),
        ({"url": "http://x", "header": {}}, "Did you mean `headers`?"),
        ({"url": "http://x", "type": "stdio"}, "`type`: with a `url`"),
        ({"url": "ftp://x"}, "`url` must be"),
        ({"url": "${KEY}"}, "`url` must be"),
        ({"url": "http://x/${NONE}"}, "needs NONE, which is not set"),
        ({"url": "http://x/?k=${AGENTDOCK_SECRET}"}, "never given to a tool server"),
        ({"url": "http://x", "headers": {"A": "${AGENTDOCK_SECRET}"}}, "never given"),
        ({"url": "http://x", "headers": {"A": "one\ntwo"}}, "must be one line"),
        ({"url": "http://x", "headers": {"A b": "c"}}, "not the name of a header"),
        ({"url": "http://x", "headers": {"Mcp-Session-Id": "c"}}, "is set by MCP itself"),
        ({"url": "http://x", "agentdock": {"env_pass": ["KEY"]}}, "has no environment"),
        ("python x.py", "must be a table"),
        ({"command": "x", "cwd": "~no-such-user/x"}, "`cwd`: the home folder"),
        (with_extras(processes=2, affinity="box"), "a handle names a node, not one of"),
        (
            with_extras(processes=2, scope="session"),
            '`agentdock.processes` is for scope = "shared"',
        ),
        (with_extras(processes=2, files=True), "files are served by one process"),
        (with_extras(scope="session", files=True), "files are served by one process"),
        (with_extras(files="yes"), "`agentdock.files`"),
        ({"url": "http://x", "agentdock": {"files": True}}, "is given no socket"),
        (with_extras(processes=0), "`agentdock.processes`"),
        (with_extras(processes=65), "`agentdock.processes`"),
        (with_extras(scope="global"), "`agentdock.scope`"),
        (with_extras(session_idle_s=5), '`agentdock.session_idle_s` needs `scope = "session"`'),
        (with_extras(max_sessions=5), '`agentdock.max_sessions` needs `scope = "session"`'),
        ({"url": "http://x", "agentdock": {"processes": 2}}, "a remote one has its own"),
    ],
)
def test_a_fault_says_which_key_and_what_to_do(raw: object, says: str) -> None:
    assert says in fault_of(raw)


@pytest.mark.parametrize("name", ["a__b", "-a", "a-", "", "a b", "a.b", "x" * 41])
def test_a_name_that_would_not_fit_into_tool_names_is_refused(name: str) -> None:
    assert "cannot name a tool server" in fault_of({"command": "x"}, name)


def test_a_tool_server_inherits_only_the_listed_variables() -> None:
    environ = {"PATH": "/bin", "LC_ALL": "C", "https_proxy": "p", "SSL_CERT_FILE": "c"}
    given = base_environment({**environ, "CANARY": "x", "AGENTDOCK_SECRET": "y"})
    assert given == {**environ, "PATH": f"/bin:{Path(sys.executable).parent}"}


def test_python_is_the_interpreter_that_runs_the_node() -> None:
    assert find_command("python", {"PATH": ""}) == sys.executable


def test_a_relative_command_starts_at_the_project() -> None:
    assert find_command("tests/fakes/none.py", {}) is None
    assert find_command("./.ci/run", {}) in (None, str(PROJECT_ROOT / ".ci/run"))
    assert find_command("sh", {"PATH": "/bin"}) == "/bin/sh"


@pytest.mark.parametrize("kind", [{}, [], 5, None])
def test_a_type_that_is_no_word_is_the_fault_of_its_entry(kind: object) -> None:
    assert "type" in fault_of({"command": "x", "type": kind})


def test_a_word_of_env_pass_with_a_star_names_all_variables_that_begin_so() -> None:
    environ = {"FETCH_PROXY": "p", "FETCH_ROBOTS": "true", "OTHER": "x"}
    raw = {"command": "x", "agentdock": {"env_pass": ["FETCH_*"]}}
    entry = parse_entry("s", raw, environ)
    assert dict(entry.env) == {"FETCH_PROXY": "p", "FETCH_ROBOTS": "true"}


@pytest.mark.parametrize(
    "raw",
    [
        {"command": "x", "args": ["postgresql://user:canary-1@host/db"]},
        {"command": "x", "args": ["--url=redis://:canary-1@host:6379", "--token", "plain-one"]},
        {"command": "x", "args": ["--token", "canary-1"]},
        {"command": "x", "args": ["--api-key=canary-1"]},
        {"command": "x", "args": ["https://host/mcp?apiKey=canary-1"]},
        {"command": "x", "env": {"DATABASE_URL": "postgres://user:canary-1@host/db"}},
        {"url": "https://user:canary-1@host/mcp"},
        {"url": "https://host/mcp?a=1&key=canary-1"},
        {"url": "https://host/mcp", "headers": {"Authorization": "Bearer canary-1"}},
    ],
)
def test_what_a_tool_server_says_of_its_keys_is_not_told_on(raw: dict[str, Any]) -> None:
    entry = parse_entry("tools", raw, {})
    assert entry.censor("I cannot log in at host as user: canary-1") == (
        "I cannot log in at host as user: ***"
    )
