"""What an entry holds in secret is neither shown nor exported, wherever people write it."""

from __future__ import annotations

from typing import Any

import pytest

from manager.configs import write_config
from manager.masking import is_masked, masked
from wire.entry import check_form
from wire.models import Registration


def args(*given: str) -> dict[str, Any]:
    return {"command": "shown", "args": list(given)}


def env(**given: str) -> dict[str, Any]:
    return {"command": "shown", "env": given}


def far(url: str = "https://x.test/shown", **headers: str) -> dict[str, Any]:
    return {"url": url, "headers": headers}


SECRETS = [
    args("--api-key=canary", "--token", "canary", "--quiet", "plain"),
    args("-y", "@modelcontextprotocol/server-postgres", "postgresql://u:canary@localhost/db"),
    args("mcp-remote", "https://x.test/sse", "--header", "Authorization: Bearer canary"),
    args("mcp-remote", "https://x.test/sse", "--header", "Authorization:canary"),
    args("mcp-remote", "https://x.test/sse?apiKey=canary&b=1"),
    args("--header=X-Api-Key: canary", "-H", "Cookie: canary"),
    args("run", "-e", "GH_PAT=canary", "-eAPI_KEY=canary"),
    args("-c", "API_KEY='canary' PLAIN=1 exec x --token canary && y --pwd=canary"),
    args("--db", "redis://:canary@host:6379/0"),
    env(A_KEY="canary", GITHUB_PAT="canary", MYSQL_PWD="canary", SENTRY_DSN="https://canary@s/1"),
    env(DATABASE_URL="postgres://u:canary@host/db"),
    env(AZURE="Endpoint=x;AccountKey=canary;Suffix=y"),
    env(API_KEY="${KEY:-canary}"),
    far("https://canary:canary@x.test/shown?key=canary"),
    far("https://x.test/shown?key=canary&user=${USER_NAME}"),
    far(**{"Authorization": "Bearer canary", "Cookie": "id=canary", "X-Plain": "shown"}),
    far(Authorization="Bearer ${TOKEN:-canary}"),
]


@pytest.mark.parametrize("entry", SECRETS)
def test_no_secret_is_shown_or_exported_and_what_is_shown_is_not_taken_back(
    entry: dict[str, Any],
) -> None:
    shown = masked(entry)
    assert "canary" not in str(shown)
    assert "shown" in str(shown)
    assert is_masked(shown)
    assert not is_masked(entry)
    registered = Registration(name="dice", profile="*", revision=1, entry=entry)
    exported = write_config([registered], "mcpServers")
    assert "canary" not in str(exported)
    check_form("dice", exported["mcpServers"]["dice"])


@pytest.mark.parametrize(
    "entry",
    [
        args("--token", "${TOKEN}", "--header", "Authorization:${AUTH_HEADER}"),
        args("keyring-mcp==1.2.0", "ghcr.io/x/token-server:1.2", "author", "--tokenize"),
        args("-m", "auth", "C:\\keys", "https://x.test/keys", "key", "pattern"),
        env(TOKEN="${A}", OTHER_KEY="", PATH="/usr/bin:/bin", URL="https://x.test/?q=1"),
        far("https://${USER_NAME}:${WORD}@x.test/mcp?key=${KEY}", Authorization="Bearer ${KEY}"),
    ],
)
def test_what_is_no_secret_stays_as_it_is(entry: dict[str, Any]) -> None:
    assert masked(entry) == entry


def test_an_address_that_is_none_is_not_shown() -> None:
    assert masked({"url": "http://[canary"}) == {"url": "***"}


def test_a_long_text_is_looked_through_in_no_time() -> None:
    long = "x-" * 100_000
    assert masked(args(long, "://" * 100_000)) == args(long, "://" * 100_000)
