"""The tools as agents meet them: their arguments, their texts, and their failures."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp_types import RequestParamsMeta

from tests.fakes.scripted_api import ScriptedApi, scripted_api
from tests.fakes.search_shapes import SERPER
from tests.guards.source import ROOT
from tests.mcp_servers.web.running import KEY, PAGE, fields, in_one_task, running, settings_in, text

GOLDEN = ROOT / "tests" / "golden" / "web"


def golden(name: str, said: str) -> None:
    """Compare a text with the one that is kept under a name."""
    assert said + "\n" == (GOLDEN / f"{name}.txt").read_text()


@dataclass
class Web:
    """A running server, a search provider, and a site to read."""

    client: Client
    provider: ScriptedApi
    site: ScriptedApi

    async def call(self, tool: str, **arguments: Any) -> Any:
        return await self.client.call_tool(tool, arguments)

    def neutral(self, said: str) -> str:
        """Return a text without what differs from run to run."""
        return said.replace(self.site.host, "site.test")


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    async with scripted_api() as provider, scripted_api() as site:
        provider.say(200, SERPER)
        site.say(200, PAGE, "Content-Type: text/html; charset=utf-8")
        keys: dict[str, Any] = {"serper_api_key": KEY, "serper_base_url": provider.url}
        async with in_one_task(running(settings_in(tmp_path, site, **keys))) as client:
            yield Web(client, provider, site)


TOOLS: dict[str, dict[str, Any]] = {
    "google_search": {
        "q": "required",
        "gl": "us",
        "hl": "en",
        "location": None,
        "num": 10,
        "tbs": None,
        "page": 1,
        "autocorrect": None,
    },
    "search": {"query": "required"},
    "scrape_and_extract_info": {
        "url": "required",
        "info_to_extract": "required",
        "custom_headers": None,
    },
    "scrape_website": {"url": "required", "start": 0, "max_chars": 20_000},
    "fetch_url": {"url": "required", "purpose": "required"},
}


async def test_tools_have_the_names_arguments_order_and_defaults_that_agents_expect(
    web: Web,
) -> None:
    tools = (await web.client.list_tools()).tools
    shown = {
        tool.name: {
            name: "required" if name in tool.input_schema["required"] else schema["default"]
            for name, schema in tool.input_schema["properties"].items()
        }
        for tool in tools
    }
    assert {name: list(arguments.items()) for name, arguments in shown.items()} == {
        name: list(arguments.items()) for name, arguments in TOOLS.items()
    }
    for tool in tools:
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert "no_cache" not in json.dumps(tool.input_schema)


async def test_other_names_of_an_argument_are_listed_and_accepted(web: Web) -> None:
    tools = {tool.name: tool for tool in (await web.client.list_tools()).tools}
    assert tools["scrape_and_extract_info"].meta == {
        "agentdock/argument_aliases": {
            "description": "info_to_extract",
            "introduction": "info_to_extract",
        }
    }
    for name in ("description", "introduction"):
        found = await web.call("scrape_and_extract_info", url=web.site.url, **{name: "Boskoop"})
        assert "1856" in fields(found)["extracted_info"]


async def test_google_search_answers_with_serpers_json(web: Web) -> None:
    result = await web.call("google_search", q="apple")
    assert not result.is_error
    golden("google_search", text(result))
    said = fields(result)
    marks = {name: said.pop(name) for name in ("provider", "cached", "age_s")}
    assert marks == {"provider": "serper", "cached": False, "age_s": 0.0}
    assert said == json.loads(text(result))


async def test_a_result_that_is_kept_is_marked_and_no_cache_gets_it_anew(web: Web) -> None:
    first = await web.call("google_search", q="apple")
    second = await web.call("google_search", q=" apple ", num=10)
    assert fields(second)["cached"]
    assert text(second) == text(first)
    third = await web.call("google_search", q="apple", no_cache=True)
    assert not fields(third)["cached"]
    assert len(web.provider.asked) == 2


@pytest.mark.parametrize("kept", [True, False])
async def test_what_is_kept_survives_a_restart_unless_a_setting_says_that_nothing_is_kept(
    tmp_path: Path, kept: bool
) -> None:
    async with scripted_api() as provider, scripted_api() as site:
        provider.say(200, SERPER)
        site.say(200, PAGE, "Content-Type: text/html")
        keys: dict[str, Any] = {"serper_api_key": KEY, "serper_base_url": provider.url}
        settings = settings_in(tmp_path, site, web_cache=kept, **keys)
        for again in (False, True):
            async with running(settings) as client:
                for tool, arguments in (
                    ("google_search", {"q": "apple"}),
                    ("scrape_website", {"url": site.url}),
                    ("scrape_and_extract_info", {"url": site.url, "info_to_extract": "apple"}),
                ):
                    result = await client.call_tool(tool, arguments)
                    if tool != "scrape_and_extract_info":
                        assert fields(result)["cached"] is (again and kept)
        assert (len(provider.asked), len(site.asked)) == ((1, 1) if kept else (2, 4))


async def test_a_failed_search_is_an_error_in_the_form_that_agents_know(web: Web) -> None:
    web.provider.now_say(403, {"message": "Unauthorized.", "statusCode": 403})
    result = await web.call("google_search", q="apple")
    assert result.is_error
    golden("google_search_failed", text(result))
    assert fields(result) == json.loads(text(result))
    empty = await web.call("google_search", q=" ")
    assert empty.is_error
    assert fields(empty)["results"] == []
    long = await web.call("google_search", q="a " * 2000)
    assert "2000 characters" in fields(long)["error"]


async def test_fifty_who_search_for_the_same_at_a_time_are_one_request(web: Web) -> None:
    held = web.provider.hold()
    searches = [asyncio.create_task(web.call("google_search", q="apple")) for _ in range(50)]
    await asyncio.wait(searches, timeout=0.5)
    held.set()
    texts = {text(result) for result in await asyncio.gather(*searches)}
    assert len(texts) == 1
    assert len(web.provider.asked) == 1


async def test_nothing_found_is_a_success_with_a_note(web: Web) -> None:
    web.provider.now_say(200, {**SERPER, "organic": []})
    result = await web.call("google_search", q="apple")
    assert not result.is_error
    assert fields(result)["organic"] == []
    assert fields(result)["note"]


async def test_search_lists_the_results_of_each_query(web: Web) -> None:
    result = await web.call("search", query=["apple", "pear", ""])
    assert not result.is_error
    golden("search", text(result))
    assert [it["query"] for it in fields(result)["results"]] == ["apple", "pear", ""]
    assert (await web.call("search", query="apple")).is_error is False
    for wrong in ([], ["a", "b", "c", "d"]):
        assert (await web.call("search", query=wrong)).is_error
    web.provider.now_say(403, {"message": "Unauthorized."})
    assert (await web.call("search", query=["plum"])).is_error


async def test_scrape_website_shows_the_page_as_markdown(web: Web) -> None:
    result = await web.call("scrape_website", url=web.site.url)
    assert not result.is_error
    golden("scrape_website", web.neutral(text(result)))


async def test_a_long_page_comes_in_parts_that_make_the_whole(web: Web) -> None:
    parts, start = "", 0
    whole = fields(await web.call("scrape_website", url=web.site.url))
    while True:
        result = await web.call("scrape_website", url=web.site.url, start=start, max_chars=100)
        part = fields(result)
        parts += part["text"]
        if part["next_start"] is None:
            break
        assert f"Next: start={part['next_start']}" in text(result)
        start = part["next_start"]
    assert parts == whole["text"]
    golden("scrape_website_end", web.neutral(text(result)))
    beyond = await web.call("scrape_website", url=web.site.url, start=10_000)
    assert beyond.is_error
    assert str(whole["total_chars"]) in text(beyond)
    assert len(web.site.asked) == 1


async def test_scrape_and_extract_info_answers_with_the_reference_fields_and_ours(
    web: Web,
) -> None:
    result = await web.call(
        "scrape_and_extract_info", url=web.site.url, info_to_extract="When was Boskoop found?"
    )
    assert not result.is_error
    golden("scrape_and_extract_info", web.neutral(text(result)))
    assert fields(result) == json.loads(text(result))
    again = await web.call(
        "scrape_and_extract_info", url=web.site.url, info_to_extract="When was Boskoop found?"
    )
    assert fields(again)["cached"]


async def test_what_a_page_does_not_hold_is_said_to_be_missing(web: Web) -> None:
    result = await web.call(
        "scrape_and_extract_info", url=web.site.url, info_to_extract="quaternions"
    )
    assert not result.is_error
    assert fields(result)["status"] == "not_found_in_page"


async def test_a_page_that_cannot_be_read_is_an_error_that_says_why(web: Web) -> None:
    arguments = {"info_to_extract": "x"}
    result = await web.call("scrape_and_extract_info", url="http://10.0.0.1/", **arguments)
    assert result.is_error
    golden("scrape_and_extract_info_refused", text(result))
    scraped = await web.call("scrape_website", url="http://10.0.0.1/")
    assert scraped.is_error
    golden("scrape_website_refused", text(scraped))
    web.site.now_say(404, b"<html><title>Not found</title><body><p>No such page.</p></body></html>")
    missing = await web.call("scrape_website", url=f"{web.site.url}/none")
    assert missing.is_error
    assert fields(missing)["status"] == "not_found"


async def test_fetch_url_reads_several_pages_for_a_purpose(web: Web) -> None:
    urls = [web.site.url, "http://10.0.0.1/"]
    result = await web.call("fetch_url", url=urls, purpose="When was Boskoop found?")
    assert not result.is_error
    golden("fetch_url", web.neutral(text(result)))
    refused = await web.call("fetch_url", url="http://10.0.0.1/", purpose="x")
    assert refused.is_error
    assert (await web.call("fetch_url", url=["a", "b", "c", "d"], purpose="x")).is_error


async def test_the_deadline_of_a_call_is_kept(web: Web) -> None:
    held = web.site.hold()
    meta = cast("RequestParamsMeta", {"agentdock/timeout_s": 0.5})
    arguments = {"url": web.site.url, "info_to_extract": "x"}
    result = await web.client.call_tool("scrape_and_extract_info", arguments, meta=meta)
    held.set()
    assert result.is_error
    assert fields(result)["status"] == "timeout"


@pytest.mark.parametrize(
    "arguments",
    [
        {"hl": "x.evil.org/#"},
        {"gl": "u@10.0.0.1/"},
        {"gl": "\r\nHost: evil"},
        {"num": -5, "page": -1},
        {"num": 10**9, "page": 10**9},
        {"tbs": "", "location": " "},
    ],
)
async def test_values_that_make_no_sense_become_the_usual_ones(
    web: Web, arguments: dict[str, Any]
) -> None:
    result = await web.call("google_search", q="apple", **arguments)
    assert not result.is_error
    [asked] = web.provider.asked
    assert (asked.json["gl"], asked.json["hl"]) == ("us", "en")
    assert 1 <= asked.json["num"] <= 100
    assert 1 <= asked.json["page"] <= 100
    assert "tbs" not in asked.json
    assert asked.headers["host"] == web.provider.host


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_it_runs_as_a_program_of_its_own_in_both_eras(tmp_path: Path, mode: str) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "WEB_CACHE_DIR": str(tmp_path),
        "WEB_SEARCH_PROVIDERS": "serper",
        "BROWSER_ENABLED": "false",
    }
    program = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_servers.web"], env=environment, cwd=ROOT
    )
    async with Client(program, mode=mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == set(TOOLS)
        result = await client.call_tool("google_search", {"q": "apple"})
    assert result.is_error
    assert "No search provider is set up." in text(result)
    assert "SERPER_API_KEY or SEARXNG_URL" in text(result)
    assert (tmp_path / "web-cache.db").exists()


async def test_what_is_kept_is_judged_by_the_list_of_blocked_links_as_it_is_now(
    tmp_path: Path,
) -> None:
    async with scripted_api() as site:
        site.say(302, b"", "Location: /secret/x")
        site.say(200, PAGE, "Content-Type: text/html")
        statuses = []
        for blocked in ("elsewhere.org", "elsewhere.org", "127.0.0.1/secret"):
            async with running(settings_in(tmp_path, site, web_blocked_links=blocked)) as client:
                for tool in ("scrape_website", "scrape_and_extract_info"):
                    given = {"url": site.url, "info_to_extract": "Boskoop"}
                    said = fields(await client.call_tool(tool, given))
                    statuses.append(said["status"])
    assert statuses == ["ok"] * 4 + ["refused_by_policy"] * 2
    assert len(site.asked) == 2
