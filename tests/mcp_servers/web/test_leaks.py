"""No key is in a result, an error, a log, the cache or a child; no argument reaches inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp_types import CallToolResult

from tests import leaks
from tests.fakes.scripted_api import Asked, ScriptedApi, scripted_api
from tests.guards.source import ROOT
from tests.mcp_servers.fetching import scripted
from tests.mcp_servers.web.running import KEY, fields, running, settings_in, text

CANARY = "canary-7f3a9c"
NAMES = ("SERPER", "BRAVE", "TAVILY", "JINA", "SUMMARY_LLM")


def environment(folder: Path, service: ScriptedApi) -> dict[str, str]:
    """Return an environment full of keys, in which every service is the one that is given."""
    keys = {f"{name}_API_KEY": f"{CANARY}-{name}" for name in NAMES}
    urls = ("SERPER_BASE_URL", "BRAVE_BASE_URL", "TAVILY_BASE_URL", "JINA_BASE_URL")
    places = dict.fromkeys((*urls, "JINA_SEARCH_URL", "SEARXNG_URL"), service.url)
    return {
        **keys,
        **places,
        "PATH": os.environ["PATH"],
        "SUMMARY_LLM_BASE_URL": f"{service.url}/v1",
        "SUMMARY_LLM_MODEL_NAME": "scripted",
        "SUMMARY_LLM_ATTEMPTS": "1",
        "WEB_SEARCH_PROVIDERS": "serper,searxng,brave,tavily,jina",
        "WEB_JINA_READER": "first",
        "WEB_CACHE_DIR": str(folder),
        "BROWSER_ENABLED": "false",
        "FETCH_ALLOWED_HOSTS": service.host,
        "FETCH_ATTEMPTS": "1",
    }


def spiteful(asked: Asked) -> dict[str, Any]:
    """Return what a service says that quotes all it was sent, wherever a text may stand."""
    said = " ".join(asked.headers.values())
    found = {"title": said, "link": "https://a.org", "url": "https://a.org", "content": said}
    return {
        "message": said,
        "readableMessage": said,
        "detail": {"error": said},
        "searchParameters": {"q": said},
        "organic": [found],
        "data": [found],
        "results": [found],
    }


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("google_search", {"q": "apple"}),
    ("search", {"query": ["pear"]}),
    ("scrape_website", {}),
    ("scrape_and_extract_info", {"info_to_extract": "keys"}),
    ("fetch_url", {"purpose": "keys"}),
]


@pytest.mark.parametrize(
    "status", [200, 403, *(pytest.param(it, marks=pytest.mark.slow) for it in (401, 429, 500))]
)
async def test_no_key_is_in_any_output_log_or_file_whatever_services_say(
    tmp_path: Path, status: int
) -> None:
    log = tmp_path / "stderr"
    async with scripted_api() as service:
        service.say(status, spiteful)
        environ = environment(tmp_path / "cache", service)
        said = ""
        program = StdioServerParameters(
            command="/bin/sh",
            args=["-c", f'exec "{sys.executable}" -m mcp_servers.web 2>"{log}"'],
            env=environ,
            cwd=ROOT,
        )
        async with Client(program, mode="legacy") as client:
            for tool, arguments in CALLS:
                given = dict(arguments)
                if tool in ("scrape_website", "scrape_and_extract_info"):
                    given["url"] = f"{service.url}/page"
                if tool == "fetch_url":
                    given["url"] = [f"{service.url}/page", "http://10.0.0.1/"]
                said += (await client.call_tool(tool, given)).model_dump_json()
            said += str((await client.list_tools()).model_dump_json())
            assert not _holds_canary(leaks.descendants())
    sent = [value for asked in service.asked for value in asked.headers.values()]
    assert any(CANARY in value for value in sent)
    assert "***" in said
    assert CANARY not in said
    assert CANARY not in log.read_text()
    kept = [path.read_bytes() for path in (tmp_path / "cache").iterdir()]
    assert kept
    assert not any(CANARY.encode() in content for content in kept)


def _holds_canary(pids: Any) -> list[str]:
    """Return the processes below us, but for the server itself, that hold a key."""
    found = []
    for pid in pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            environ = Path(f"/proc/{pid}/environ").read_bytes().decode("latin-1")
        except OSError:
            continue
        if CANARY in environ + command and "-m mcp_servers.web " not in command:
            found.append(command)
    return found


def test_a_bad_setting_is_named_without_its_value() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mcp_servers.web"],
        env={
            "PATH": "/usr/bin",
            "SERPER_API_KEY": f"{CANARY}\u00e9",
            "WEB_READERS": CANARY,
            "FETCH_HOST_RATE": CANARY,
            "FETCH_PROXY_FILE": f"/{CANARY}",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 1
    assert "SERPER_API_KEY" in ran.stderr
    assert "SERPER_API_KEY: only printable ASCII can be sent in a header" in ran.stderr
    assert "WEB_READERS: Input should be a valid integer" in ran.stderr
    assert "FETCH_PROXY_FILE: " in ran.stderr
    assert ran.stderr.count(CANARY) == 1, "only the path of a file is shown"


INSIDE = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://0x7f000001:{port}/",
    "http://2130706433:{port}/",
    "http://017700000001:{port}/",
    "http://127.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/",
    "http://user@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://[64:ff9b::7f00:1]/",
    "http://rebinding.test/",
    "127.0.0.1:{port}",
    "//127.0.0.1:{port}/",
    "file:///etc/passwd",
    "data:text/html,hello",
    "view-source:http://127.0.0.1:{port}/",
]


async def test_no_tool_reaches_inside_by_its_url(tmp_path: Path) -> None:
    async with scripted_api() as inside:
        inside.say(200, b"<p>secret</p>")
        urls = [url.format(port=inside.port) for url in INSIDE]
        results: list[CallToolResult] = []
        async with running(settings_in(tmp_path)) as client:
            with scripted.watched_dials() as dials:
                for url in urls:
                    asked = {"url": url, "info_to_extract": "x"}
                    results += [
                        await client.call_tool("scrape_website", {"url": url}),
                        await client.call_tool("scrape_and_extract_info", asked),
                        await client.call_tool("fetch_url", {"url": [url], "purpose": "x"}),
                    ]
        assert [text(result) for result in results if not result.is_error] == []
        assert "secret" not in "".join(map(text, results))
        assert dials.seen == []
        assert inside.asked == []


HEADERS: list[dict[str, str]] = [
    {"Host": "127.0.0.1"},
    {"X-A": "b\r\nHost: inside"},
    {"X-A\r\nHost": "inside"},
    {"Transfer-Encoding": "chunked"},
    {"Content-Length": "100"},
    {"Proxy-Authorization": "Basic x"},
    {"Connection": "X-Real-IP"},
    {"": "x"},
    {"X-A": "\u4e2d"},
]


async def test_headers_of_callers_change_neither_host_nor_framing(tmp_path: Path) -> None:
    async with scripted_api() as site:
        site.say(200, b"<p>hello</p>")
        async with running(settings_in(tmp_path, site)) as client:
            for headers in HEADERS:
                asked = {"url": site.url, "info_to_extract": "x", "custom_headers": headers}
                result = await client.call_tool("scrape_and_extract_info", asked)
                assert result.is_error, headers
        assert site.asked == []


async def test_headers_of_callers_reach_the_page_and_nobody_else(tmp_path: Path) -> None:
    async with scripted_api() as site, scripted_api() as other:
        site.say(302, b"", f"Location: {other.url}/")
        other.say(200, b"<article><p>The page of another site, which is long enough.</p></article>")
        arguments = {
            "url": site.url,
            "info_to_extract": "page",
            "custom_headers": {"Authorization": f"Bearer {CANARY}", "Cookie": CANARY},
        }
        async with running(settings_in(tmp_path, site, other)) as client:
            await client.call_tool("scrape_and_extract_info", arguments)
        [first], [second] = site.asked, other.asked
        assert CANARY in first.headers["authorization"]
        assert CANARY not in str(second.headers)


async def _search_with(folder: Path, provider: ScriptedApi, words: str) -> CallToolResult:
    keys: dict[str, Any] = {"serper_api_key": KEY, "serper_base_url": provider.url}
    async with running(settings_in(folder, **keys)) as client:
        return await client.call_tool("google_search", {"q": words})


@pytest.mark.parametrize("words", ["http://127.0.0.1/", "a\r\nX-API-KEY: b", "&key=1#?/../", "\0"])
async def test_the_words_of_a_search_are_words_and_nothing_else(tmp_path: Path, words: str) -> None:
    async with scripted_api() as provider:
        provider.say(403, {"message": "no"})
        result = await _search_with(tmp_path, provider, words)
        assert result.is_error
        assert fields(result)["results"] == []
        [asked] = provider.asked
        assert asked.path == "/search"
        assert asked.headers["x-api-key"] == KEY
        assert asked.json["q"] == " ".join(words.split())
