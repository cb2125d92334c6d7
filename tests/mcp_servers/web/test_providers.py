"""Each search provider against a service that answers as its documentation says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from mcp_servers.fetching.settings import FetchSettings
from mcp_servers.web.keys import Keys
from mcp_servers.web.searching.base import (
    KeyRefused,
    Provider,
    ProviderFailed,
    Query,
    QueryRefused,
    QuotaSpent,
    RateLimited,
    Unavailable,
)
from mcp_servers.web.searching.brave import Brave
from mcp_servers.web.searching.endpoint import MAX_BYTES, Endpoints
from mcp_servers.web.searching.jina import Jina
from mcp_servers.web.searching.metasearch import Ddgs
from mcp_servers.web.searching.searxng import Searxng
from mcp_servers.web.searching.serper import Serper
from mcp_servers.web.searching.tavily import Tavily
from tests.fakes import search_shapes
from tests.fakes.scripted_api import ScriptedApi, scripted_api

KEY = SecretStr("key-4711")
Make = Callable[[str], Provider]


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    async with scripted_api() as made:
        yield made


@pytest.fixture
async def make(api: ScriptedApi) -> AsyncIterator[Make]:
    endpoints = Endpoints(FetchSettings(), 5, Keys([KEY.get_secret_value()]))

    def made(name: str) -> Provider:
        match name:
            case "serper":
                return Serper(endpoints, api.url, KEY)
            case "searxng":
                return Searxng(endpoints, api.url)
            case "brave":
                return Brave(endpoints, api.url, KEY)
            case "tavily":
                return Tavily(endpoints, api.url, KEY)
        return Jina(endpoints, api.url, KEY)

    yield made
    await endpoints.aclose()


ONE = {"title": "One", "link": "https://one.org/", "snippet": "The first & best.", "position": 1}
TWO = {"title": "Two", "link": "https://two.org/", "snippet": "", "position": 2}


async def test_serper_is_asked_as_it_documents_and_its_answer_stays_as_it_is(
    api: ScriptedApi, make: Make
) -> None:
    api.say(200, search_shapes.SERPER)
    query = Query("apple", "cn", "zh-cn", "Beijing", 20, "qdr:d", 2, autocorrect=False)
    found = await make("serper").search(query)
    assert found.payload == search_shapes.SERPER
    [asked] = api.asked
    assert (asked.method, asked.path) == ("POST", "/search")
    assert asked.headers["x-api-key"] == "key-4711"
    assert asked.json == {
        "q": "apple",
        "gl": "cn",
        "hl": "zh-cn",
        "location": "Beijing",
        "num": 20,
        "tbs": "qdr:d",
        "page": 2,
        "autocorrect": False,
    }


async def test_searxng_is_asked_for_json_and_answers_in_serpers_shape(
    api: ScriptedApi, make: Make
) -> None:
    api.say(200, search_shapes.SEARXNG)
    found = await make("searxng").search(Query("apple", tbs="qdr:w", page=3))
    assert found.payload["organic"] == [{**ONE, "date": "2026-01-02T00:00:00"}, TWO]
    assert found.payload["answerBox"] == {"answer": "It is a fruit."}
    assert found.payload["knowledgeGraph"] == {"title": "Apple", "description": "A fruit."}
    assert found.payload["relatedSearches"] == [{"query": "apple pie"}]
    assert found.payload["searchParameters"]["q"] == "apple"
    [asked] = api.asked
    assert asked.params == {
        "q": "apple",
        "format": "json",
        "language": "en",
        "pageno": "3",
        "time_range": "week",
    }


async def test_a_time_limit_that_empties_searxng_is_left_out_and_it_is_said(
    api: ScriptedApi, make: Make
) -> None:
    api.say(200, {"results": [], "unresponsive_engines": []})
    api.say(200, search_shapes.SEARXNG)
    found = await make("searxng").search(Query("apple", tbs="qdr:d"))
    assert len(found.payload["organic"]) == 2
    assert found.note == "Nothing that new was found; the time limit was left out."
    assert ["time_range" in asked.params for asked in api.asked] == [True, False]


async def test_brave_answers_in_serpers_shape(api: ScriptedApi, make: Make) -> None:
    api.say(200, search_shapes.BRAVE)
    found = await make("brave").search(Query("apple", "us", "zh-cn", tbs="qdr:y", num=50, page=2))
    site = {"sitelinks": [{"title": "In", "link": "https://i.org"}]}
    assert found.payload["organic"] == [{**ONE, "date": "January 2, 2026", **site}, TWO]
    assert found.payload["peopleAlsoAsk"] == search_shapes.SERPER["peopleAlsoAsk"]
    assert found.payload["knowledgeGraph"] == {"title": "Apple", "description": "A fruit."}
    [asked] = api.asked
    assert asked.path == "/res/v1/web/search"
    assert asked.headers["x-subscription-token"] == "key-4711"
    assert asked.params == {
        "q": "apple",
        "count": "20",
        "offset": "1",
        "country": "US",
        "search_lang": "zh-hans",
        "freshness": "py",
    }


async def test_tavily_answers_in_serpers_shape(api: ScriptedApi, make: Make) -> None:
    api.say(200, search_shapes.TAVILY)
    found = await make("tavily").search(Query("apple", tbs="qdr:h"))
    assert found.payload["organic"] == [{**ONE, "date": "2026-01-02"}, TWO]
    assert found.payload["answerBox"] == {"answer": "It is a fruit."}
    [asked] = api.asked
    assert asked.headers["authorization"] == "Bearer key-4711"
    assert (asked.json["max_results"], asked.json["time_range"]) == (10, "day")


async def test_a_later_page_of_tavily_is_cut_out_of_a_longer_answer(
    api: ScriptedApi, make: Make
) -> None:
    api.say(200, search_shapes.TAVILY)
    found = await make("tavily").search(Query("apple", num=1, page=2))
    assert [it["title"] for it in found.payload["organic"]] == ["Two"]
    assert api.asked[0].json["max_results"] == 2
    beyond = await make("tavily").search(Query("apple", num=10, page=3))
    assert beyond.payload["organic"] == []
    assert len(api.asked) == 1


async def test_jina_answers_in_serpers_shape(api: ScriptedApi, make: Make) -> None:
    api.say(200, search_shapes.JINA)
    found = await make("jina").search(Query("apple", location="Rome"))
    assert found.payload["organic"] == [{**ONE, "date": "Jan 2, 2026"}, TWO]
    [asked] = api.asked
    assert asked.headers["authorization"] == "Bearer key-4711"
    assert asked.headers["x-respond-with"] == "no-content"
    assert asked.json["location"] == "Rome"


async def test_jinas_way_to_say_that_nothing_was_found_is_no_failure(
    api: ScriptedApi, make: Make
) -> None:
    said = {"code": 422, "status": 42206, "name": "AssertionFailureError", "data": None}
    api.say(422, said)
    assert (await make("jina").search(Query("xyzzy"))).payload["organic"] == []


ENGINE = "ddgs.engines.duckduckgo.Duckduckgo.search_url"


async def test_ddgs_reads_the_pages_of_engines(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ENGINE, f"{api.url}/html/")
    api.say(200, search_shapes.DUCKDUCKGO, "Content-Type: text/html")
    found = await Ddgs("duckduckgo", 20).search(Query("apple", "de", "zh-cn", tbs="qdr:m"))
    assert found.payload["organic"] == [ONE]
    [asked] = api.asked
    assert b"l=de-zh" in asked.body
    assert b"df=m" in asked.body


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (202, b"<html>anomaly</html>", RateLimited),
        (403, b"", RateLimited),
        (429, b"", RateLimited),
        (500, b"", Unavailable),
    ],
)
async def test_an_engine_that_refuses_ddgs_is_not_one_that_found_nothing(
    api: ScriptedApi,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    said: bytes,
    kind: type[ProviderFailed],
) -> None:
    monkeypatch.setattr(ENGINE, f"{api.url}/html/")
    api.say(status, said)
    with pytest.raises(kind):
        await Ddgs("duckduckgo", 20).search(Query("apple"))


async def test_ddgs_says_when_engines_found_nothing(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ENGINE, f"{api.url}/html/")
    api.say(200, b"<html><body>No results.</body></html>")
    assert (await Ddgs("duckduckgo", 20).search(Query("apple"))).payload["organic"] == []


BRAVE_ERROR: dict[str, Any] = {"type": "ErrorResponse"}
FAILURES = [
    ("serper", 403, {"message": "Unauthorized.", "statusCode": 403}, KeyRefused),
    ("serper", 400, {"message": "Not enough credits", "statusCode": 400}, QuotaSpent),
    ("serper", 400, {"message": "Query not allowed", "statusCode": 400}, QueryRefused),
    ("serper", 400, {"message": "Not allowed: 'credit card balance'"}, QueryRefused),
    ("serper", 500, {"message": "The quota service is down"}, Unavailable),
    ("serper", 429, {"message": "Slow down to save credits"}, RateLimited),
    ("serper", 429, {"message": "Rate limit exceeded"}, RateLimited),
    ("serper", 500, b"<html>oops</html>", Unavailable),
    ("serper", 200, b"<html>a proxy's page</html>", Unavailable),
    ("serper", 200, {"searchParameters": {}, "organic": "none"}, Unavailable),
    ("serper", 302, b"", Unavailable),
    ("searxng", 403, b"<!doctype html><title>403 Forbidden</title>", KeyRefused),
    ("searxng", 429, b"Too Many Requests", RateLimited),
    ("searxng", 200, b"<html>", Unavailable),
    ("searxng", 200, {"results": [], "unresponsive_engines": [["bing", "timeout"]]}, Unavailable),
    ("brave", 422, {**BRAVE_ERROR, "error": {"code": "SUBSCRIPTION_TOKEN_INVALID"}}, KeyRefused),
    ("brave", 429, {**BRAVE_ERROR, "error": {"code": "RATE_LIMITED"}}, RateLimited),
    ("brave", 429, {**BRAVE_ERROR, "error": {"code": "QUOTA_LIMITED"}}, QuotaSpent),
    ("brave", 422, {**BRAVE_ERROR, "error": {"code": "VALIDATION"}}, QueryRefused),
    ("brave", 503, b"", RateLimited),
    ("brave", 500, b"", Unavailable),
    ("brave", 200, {"type": "ErrorResponse"}, Unavailable),
    ("tavily", 401, {"detail": {"error": "Unauthorized: missing or invalid key."}}, KeyRefused),
    ("tavily", 429, {"detail": {"error": "blocked due to excessive requests"}}, RateLimited),
    ("tavily", 432, {"detail": {"error": "exceeds your plan's set limit"}}, QuotaSpent),
    ("tavily", 433, {"detail": {"error": "exceeds the pay-as-you-go limit"}}, QuotaSpent),
    ("tavily", 400, {"detail": {"error": "Query is too long"}}, QueryRefused),
    ("tavily", 400, {"detail": {"error": "Query 'usage limit of a card' is bad"}}, QueryRefused),
    ("tavily", 200, {"results": None}, Unavailable),
    ("jina", 401, {"code": 401, "name": "AuthenticationRequiredError"}, KeyRefused),
    ("jina", 402, {"code": 402, "name": "InsufficientBalanceError"}, QuotaSpent),
    ("jina", 422, {"code": 422, "readableMessage": "no balance sheets here"}, QueryRefused),
    ("jina", 503, {"code": 503, "readableMessage": "quota store busy"}, RateLimited),
    ("jina", 429, {"code": 429, "name": "RateLimitTriggeredError", "retryAfter": 7}, RateLimited),
    ("jina", 524, b"", Unavailable),
    ("jina", 200, {"code": 200, "data": None}, Unavailable),
]


@pytest.mark.parametrize(("name", "status", "said", "kind"), FAILURES)
async def test_each_documented_failure_is_told_from_the_others_and_from_an_answer(
    api: ScriptedApi, make: Make, name: str, status: int, said: Any, kind: type[ProviderFailed]
) -> None:
    api.say(status, said, "Location: http://127.0.0.1:1/", "Retry-After: 7")
    with pytest.raises(kind) as caught:
        await make(name).search(Query("apple"))
    assert type(caught.value) is kind
    assert "key-4711" not in str(caught.value)
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after_s == 7


@pytest.fixture
def quick(api: ScriptedApi) -> Endpoints:
    return Endpoints(FetchSettings(), 0.3, Keys())


async def test_a_provider_that_does_not_answer_in_time_is_unavailable(
    api: ScriptedApi, quick: Endpoints
) -> None:
    api.say(200, search_shapes.SERPER)
    api.hold()
    with pytest.raises(Unavailable, match=r"in time|within"):
        await Serper(quick, api.url, KEY).search(Query("apple"))
    await quick.aclose()


async def test_an_answer_without_end_is_cut_off(api: ScriptedApi, make: Make) -> None:
    api.say(200, b" " * (MAX_BYTES + 1))
    with pytest.raises(Unavailable, match="more than"):
        await make("serper").search(Query("apple"))


@pytest.mark.parametrize("depth", [150, 900, 5000])
async def test_an_answer_that_is_nested_without_end_is_none(
    api: ScriptedApi, make: Make, depth: int
) -> None:
    """What reads it, keeps it or shows it follows it into its depth."""
    api.say(200, b'{"searchParameters":{},"organic":' + b"[" * depth + b"]" * depth + b"}")
    with pytest.raises(Unavailable):
        await make("serper").search(Query("apple"))


async def test_a_provider_that_is_not_there_is_unavailable(make: Make, api: ScriptedApi) -> None:
    endpoints = Endpoints(FetchSettings(), 5, Keys([KEY.get_secret_value()]))
    with pytest.raises(Unavailable, match="cannot be reached"):
        await Serper(endpoints, "http://127.0.0.1:1", KEY).search(Query("apple"))
    await endpoints.aclose()


async def test_providers_are_asked_through_the_proxy_but_for_inner_hosts(api: ScriptedApi) -> None:
    async with scripted_api() as proxy:
        proxy.say(200, search_shapes.SERPER)
        api.say(200, search_shapes.SERPER)
        settings = FetchSettings(
            proxy=SecretStr(f"http://u:p@{proxy.host}"), allowed_hosts=api.host
        )
        endpoints = Endpoints(settings, 5, Keys())
        await Serper(endpoints, "http://serper.test", KEY).search(Query("apple"))
        await Serper(endpoints, api.url, KEY).search(Query("apple"))
        await endpoints.aclose()
        assert [asked.headers["host"] for asked in proxy.asked] == ["serper.test"]
        assert [asked.headers["host"] for asked in api.asked] == [api.host]
