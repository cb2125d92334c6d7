"""The order of providers, who rests when, and what callers get."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from mcp_servers.web.caching.cache import Cache
from mcp_servers.web.links import BlockedLinks
from mcp_servers.web.searching import search as module
from mcp_servers.web.searching.base import (
    Found,
    KeyRefused,
    ProviderFailed,
    Query,
    QueryRefused,
    QuotaSpent,
    RateLimited,
    Unavailable,
)
from mcp_servers.web.searching.cooldown import CoolDown, CoolDownPolicy
from mcp_servers.web.searching.search import Listed, NoneUsable, Search
from mcp_servers.web.searching.shape import Cleaning
from tests.fakes.search_shapes import SERPER

TABLE = [
    # what failed, seconds of rest after the first, second, third, fourth and tenth time in a row
    (RateLimited("", None), (2, 4, 8, 16, 300)),
    (RateLimited("", 7), (7, 7, 7, 7, 7)),
    (RateLimited("", 10**9), (3600,) * 5),
    (QuotaSpent(""), (3600,) * 5),
    (KeyRefused(""), (3600,) * 5),
    (Unavailable(""), (0, 0, 15, 30, 600)),
    (QueryRefused(""), (0, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("failure", "rests"), TABLE)
def test_how_long_a_provider_rests_depends_on_what_failed_and_how_often(
    failure: ProviderFailed, rests: Sequence[int]
) -> None:
    policy = CoolDownPolicy()
    times = (1, 2, 3, 4, 10)
    assert tuple(policy.rest_s(failure, count) for count in times) == rests


def test_an_answer_ends_the_rest_and_the_count() -> None:
    rest = CoolDown(CoolDownPolicy())
    for _ in range(3):
        rest.failed(Unavailable("down"), 100)
    assert (rest.left_s(100), rest.left_s(110), rest.left_s(116)) == (15, 5, 0)
    rest.answered()
    rest.failed(Unavailable("down"), 120)
    assert rest.left_s(120) == 0


class Scripted:
    """A provider that does the next of several things, then the last again."""

    def __init__(self, name: str, *does: Any) -> None:
        self.name = name
        self.does = list(does)
        self.asked: list[Query] = []

    async def search(self, query: Query) -> Found:
        self.asked.append(query)
        does = self.does.pop(0) if len(self.does) > 1 else self.does[0]
        if isinstance(does, Exception):
            raise does
        return Found({"searchParameters": query.parameters(), "organic": does})


def hits(*names: str) -> list[dict[str, Any]]:
    return [{"title": name, "link": f"https://{name}.org", "position": 1} for name in names]


def searching(*providers: Scripted, missing: Sequence[str] = (), **options: Any) -> Search:
    cleaning = Cleaning(BlockedLinks(["huggingface.co/datasets"]))
    return Search([Listed(it) for it in providers], Cache(None), cleaning, missing, **options)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait next to nothing before all are tried again."""
    monkeypatch.setattr(module, "AGAIN_S", 0.001)


async def test_the_first_that_can_answers_and_is_named() -> None:
    one, two = Scripted("one", hits("a")), Scripted("two", hits("b"))
    answer = await searching(one, two).search(Query("x"))
    assert (answer.provider, answer.payload["organic"]) == ("one", hits("a"))
    assert two.asked == []


@pytest.mark.parametrize(
    "failure", [RateLimited("429"), QuotaSpent("402"), KeyRefused("403"), Unavailable("down")]
)
async def test_when_one_fails_the_next_answers(failure: ProviderFailed) -> None:
    one, two = Scripted("one", failure), Scripted("two", hits("b"))
    answer = await searching(one, two).search(Query("x"))
    assert (answer.provider, answer.payload["organic"]) == ("two", hits("b"))


async def test_an_answer_that_nobody_foresaw_is_the_providers_failure_not_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, two = Scripted("one", TypeError("'int' object: key-4711")), Scripted("two", hits("b"))
    assert (await searching(one, two).search(Query("x"))).provider == "two"
    assert "one: TypeError" in caplog.text
    assert "key-4711" not in caplog.text
    with pytest.raises(NoneUsable, match="one: its answer cannot be understood"):
        await searching(one).search(Query("x"))


async def test_a_result_that_is_none_is_left_out() -> None:
    lone = Scripted("one", ["text", None, 5, *hits("a")])
    assert (await searching(lone).search(Query("x"))).payload["organic"] == hits("a")


async def test_one_that_rests_is_not_asked_again_until_it_has_rested() -> None:
    one, two = Scripted("one", QuotaSpent("spent")), Scripted("two", hits("b"))
    search = searching(one, two)
    for word in "xyz":
        assert (await search.search(Query(word))).provider == "two"
    assert len(one.asked) == 1


async def test_one_that_only_stumbled_is_asked_again_at_once() -> None:
    lone = Scripted("one", Unavailable("down"), hits("a"))
    assert (await searching(lone).search(Query("x"))).payload["organic"] == hits("a")


async def test_a_short_rest_of_the_only_one_is_waited_for() -> None:
    lone = Scripted("one", RateLimited("429", 0.01), hits("a"))
    assert (await searching(lone).search(Query("x"))).payload["organic"] == hits("a")


async def test_a_query_that_one_refuses_is_put_to_the_next_and_nobody_rests() -> None:
    one, two = Scripted("one", QueryRefused("400"), hits("a")), Scripted("two", hits("b"))
    search = searching(one, two)
    assert (await search.search(Query("x"))).provider == "two"
    assert (await search.search(Query("y"))).provider == "one"


async def test_with_none_usable_the_error_says_why_and_which_variables_to_set() -> None:
    one = Scripted("serper", QuotaSpent("HTTP status 402"))
    two = Scripted("ddgs", Unavailable("it cannot be reached"))
    with pytest.raises(NoneUsable) as caught:
        await searching(one, two, missing=["SEARXNG_URL", "BRAVE_API_KEY"]).search(Query("x"))
    assert str(caught.value) == (
        "No search provider answered (serper: HTTP status 402, asked again in 3600 s; "
        "ddgs: it cannot be reached, asked again in 15 s). "
        "Whoever runs this can add another one by setting SEARXNG_URL or BRAVE_API_KEY."
    )
    with pytest.raises(NoneUsable, match=r"is set up\..*SERPER_API_KEY"):
        await searching(missing=["SERPER_API_KEY"]).search(Query("x"))


async def test_nothing_found_is_an_answer_with_a_note() -> None:
    answer = await searching(Scripted("one", [])).search(Query("x"))
    assert answer.payload["organic"] == []
    assert answer.payload["note"] == "Nothing was found. Try other words, or fewer."


async def test_quotes_that_find_nothing_are_left_out_once_and_it_is_said() -> None:
    one = Scripted("one", [], hits("a"))
    answer = await searching(one).search(Query('"exact words" more'))
    assert [query.q for query in one.asked] == ['"exact words" more', "exact words more"]
    assert answer.payload["organic"] == hits("a")
    assert "without them" in answer.payload["note"]


async def test_without_quotes_nothing_is_asked_twice() -> None:
    one = Scripted("one", [])
    await searching(one).search(Query("x"))
    await searching(one).search(Query('""'))
    assert len(one.asked) == 2


async def test_the_answer_is_cleaned() -> None:
    one = Scripted("one", SERPER["organic"])
    answer = await searching(one).search(Query("x"))
    assert [it["link"] for it in answer.payload["organic"]] == [
        "https://www.apple.com/中%20%2F",
        "https://en.wikipedia.org/wiki/Apple_Inc.",
    ]


async def test_results_that_are_all_blocked_are_not_said_to_be_missing() -> None:
    only = [{"title": "42", "link": "https://huggingface.co/datasets/gaia"}]
    answer = await searching(Scripted("one", only)).search(Query("x"))
    assert answer.payload["note"] == "All that was found is on the list of what is not shown."


def test_a_blocked_link_is_nowhere_in_an_answer() -> None:
    blocked = {"title": "42", "link": "https://huggingface.co/datasets/gaia"}
    fine = {"title": "43", "link": "https://a.org"}
    payload = {
        "organic": [blocked, {**fine, "sitelinks": [blocked, fine]}],
        "answerBox": blocked,
        "knowledgeGraph": {"title": "G", "website": "https://huggingface.co/datasets/gaia"},
        "peopleAlsoAsk": [blocked, fine],
    }
    assert Cleaning(BlockedLinks(["huggingface.co/datasets"])).clean(payload) == {
        "organic": [{**fine, "sitelinks": [fine]}],
        "peopleAlsoAsk": [fine],
    }


async def test_snippets_and_boxes_are_taken_out_when_settings_say_so() -> None:
    cleaning = Cleaning(BlockedLinks([]), snippets=True, knowledge_graph=True, answer_box=True)
    cleaned = cleaning.clean(SERPER)
    assert {name for it in cleaned["organic"] for name in it} == {
        *("title", "link", "sitelinks", "position", "date")
    }
    assert set(cleaned) == {"organic", "searchParameters", "peopleAlsoAsk", "relatedSearches"}
    assert set(Cleaning(BlockedLinks([])).clean(SERPER)) - set(cleaned) == {
        "knowledgeGraph",
        "answerBox",
    }
    assert "topStories" in SERPER


async def test_a_search_ends_at_its_deadline_whatever_providers_do() -> None:
    class Silent(Scripted):
        async def search(self, query: Query) -> Found:
            await asyncio.Event().wait()
            raise AssertionError

    with pytest.raises(NoneUsable, match=r"within 0\.05 s"):
        await searching(Silent("one", [])).search(Query("x"), deadline_s=0.05)


async def test_requests_to_one_provider_keep_their_distance() -> None:
    one, two = Scripted("one", hits("a")), Scripted("two", hits("b"))
    cleaning = Cleaning(BlockedLinks([]))
    slow = Listed(one, rate=0.01)
    search = Search([slow, Listed(two)], Cache(None), cleaning)
    assert (await search.search(Query("x"))).provider == "one"
    async with asyncio.timeout(5):
        assert (await search.search(Query("y"))).provider == "two"
    assert len(one.asked) == 1


async def test_who_waits_for_a_turn_in_vain_lets_nobody_rest() -> None:
    lone = Listed(Scripted("one", hits("a")), rate=0.01)
    search = Search([lone], Cache(None), Cleaning(BlockedLinks([])), deadline_s=0.2)
    await search.search(Query("x"))
    with pytest.raises(NoneUsable):
        await search.search(Query("y"))
    assert lone.rest.left_s(0) == 0
