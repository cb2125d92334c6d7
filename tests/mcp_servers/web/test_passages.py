"""Passages, ranking, quotations and settings, by themselves and without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcp_servers.web.extracting.app import create_extractor
from mcp_servers.web.extracting.budget import tokens
from mcp_servers.web.extracting.chunks import MOST, Chunk, chunks
from mcp_servers.web.extracting.citations import Source
from mcp_servers.web.extracting.extractor import Extraction
from mcp_servers.web.extracting.prompt import visible
from mcp_servers.web.extracting.ranking import scores
from mcp_servers.web.extracting.reply import parse, without_repetition
from mcp_servers.web.extracting.selection import Selector
from mcp_servers.web.extracting.settings import ExtractSettings
from mcp_servers.web.extracting.words import asked, words
from tests.mcp_servers.web.test_extracting import FACT, MARKDOWN, long_markdown, page


async def excerpt(markdown: str, info: str, **given: Any) -> Extraction:
    async with create_extractor(ExtractSettings(extractive_tokens=600)) as extractor:
        return await extractor.extract(page(markdown, **given), info)


async def test_without_a_model_the_best_passages_are_shown_as_they_stand() -> None:
    extraction = await excerpt(long_markdown(), "When was the Alte Brücke opened?")
    assert FACT in extraction.text
    assert (extraction.model_used, extraction.tokens_used) == ("extractive-bm25", 0)
    assert (extraction.status, extraction.truncated) == ("ok", True)
    assert extraction.citations
    assert all(citation["quote"] in long_markdown() for citation in extraction.citations)
    assert tokens(extraction.text) < 800


async def test_without_a_match_nothing_is_claimed() -> None:
    extraction = await excerpt(MARKDOWN, "What is the price of zinc?")
    assert extraction.status == "not_found_in_page"
    assert extraction.citations == []
    assert "Of Heidelberg" in extraction.text


async def test_a_wish_for_a_summary_gets_the_head_of_the_page() -> None:
    extraction = await excerpt(long_markdown(), "Please summarise the main content of this page")
    assert extraction.status == "ok"
    assert "Section 0" in extraction.text
    assert extraction.truncated


async def test_an_empty_page_is_empty_and_a_walled_one_keeps_its_reason() -> None:
    assert (await excerpt(" \n", "x")).status == "empty"
    walled = await excerpt("", "x", status="captcha", note="A CAPTCHA stands in front.")
    assert (walled.status, walled.text) == ("captcha", "A CAPTCHA stands in front.")
    behind = await excerpt("Log in to read x", "x", status="login_wall", note="A login is asked.")
    assert (behind.status, behind.text) == ("login_wall", "A login is asked.")


async def test_chinese_is_found_by_its_bigrams() -> None:
    filler = "河流流向大海，船只整天来来往往，岸边有许多树木。" * 40
    markdown = f"# 桥\n\n{filler}\n\n海德堡老桥于一七八八年建成，全长一百九十八米。\n\n{filler}"
    extraction = await excerpt(markdown, "海德堡的老桥是什么时候建成的？")
    assert "一七八八年建成" in extraction.text
    assert tokens(extraction.text) < 1000


def test_a_passage_knows_the_headings_above_it() -> None:
    found = chunks("intro\n\n# A\n\n## B\n\ntext b\n\n# C\ntext c")
    assert [(c.headings, c.text) for c in found] == [
        ((), "intro"),
        (("A",), "# A"),
        (("A", "B"), "## B\n\ntext b"),
        (("C",), "# C\n\ntext c"),
    ]


def test_code_is_no_heading_and_its_empty_lines_part_nothing() -> None:
    code = "```python\n# no heading\n\nx = 1\n```"
    assert [c.text for c in chunks(f"before\n{code}\nafter")] == [f"before\n\n{code}\n\nafter"]


@given(st.text(st.sampled_from("ab .。#`|\n字é"), max_size=3000))
def test_passages_hold_all_of_a_page_and_none_is_long(markdown: str) -> None:
    found = chunks(markdown)
    assert "".join("".join(c.text.split()) for c in found) == "".join(markdown.split())
    # A line without any end may be longer than the goal, by a bounded amount.
    assert all(c.tokens <= MOST + 600 for c in found)


def test_a_megabyte_on_one_line_is_parted_too() -> None:
    found = chunks("x" * 1_000_000)
    assert max(len(c.text) for c in found) <= 1800
    assert sum(c.text.count("x") for c in found) == 1_000_000


def test_rare_words_weigh_more_and_none_weighs_nothing() -> None:
    texts = [words(text) for text in ("the bridge", "the river bridge", "boats", "a bridge bridge")]
    found = scores(texts, asked("river bridge"))
    assert max(found) == found[1]
    assert found[2] == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bridges", "Bridge"),
        ("companies", "company"),
        ("opened", "opening"),
        ("１９９８", "1998"),
        ("1,200", "1200"),
        ("Straße", "STRASSE"),
    ],
)
def test_words_that_mean_the_same_are_the_same(one: str, other: str) -> None:
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        # Measured with cl100k_base: 10, 20 to 26 and 31.
        ("The quick brown fox jumps over the lazy dog.", 9, 16),
        ("人工智能正在改变世界，许多公司都在使用它。", 20, 30),
        ("https://example.com/a/b?c=1&d=2024-05-03#frag", 18, 40),
        ("", 0, 0),
    ],
)
def test_the_cost_of_a_text_is_guessed_well_enough(text: str, least: int, most: int) -> None:
    assert least <= tokens(text) <= most


@pytest.mark.parametrize("budget", [100, 500, 3000])
def test_a_selection_costs_no_more_than_its_budget_and_keeps_the_order(budget: int) -> None:
    selection = Selector(chunks(long_markdown()), "When was the bridge opened?").select(budget)
    places = [c.index for c in selection.passages]
    assert places == sorted(places)
    assert sum(c.tokens for c in selection.passages) <= budget
    assert budget < 500 or any(FACT in c.text for c in selection.passages)


@pytest.mark.parametrize(
    "quote",
    [
        "The  bridge 'Alte Brücke' was".replace("'", "”"),
        "**The bridge** “Alte Brücke”",
        "The bridge … is 198 metres long",
        "the bridge \"alte brücke\" was opened on 3 May 1788",
        "Of Heidelberg The bridge",
    ],
)  # fmt: skip
def test_a_quotation_may_differ_in_space_marks_and_kinds_of_quotes(quote: str) -> None:
    citations, dropped = Source(chunks(MARKDOWN)).cite([(1, quote)])
    assert (len(citations), dropped) == (1, 0)
    assert citations[0]["passage"] == 2


@pytest.mark.parametrize(
    "quote", ["The bridge was opened", "198 meters long", "…", '""', "is 198 metres … The bridge"]
)
def test_what_does_not_stand_in_the_page_is_no_quotation(quote: str) -> None:
    assert Source(chunks(MARKDOWN)).cite([(2, quote)]) == ([], 1)


def numbered(*texts: tuple[int, str]) -> Source:
    """Return passages with these numbers, from 1."""
    return Source([Chunk(n - 1, (), text, 10) for n, text in texts])


def test_a_quotation_may_span_passages_that_follow_each_other_and_no_others() -> None:
    quote = "the mayor was found guilty"
    ends, begins = "Nobody says that the mayor was", "found guilty in court, said the baker."
    near, far = numbered((4, ends), (5, begins)), numbered((4, ends), (9, begins))
    assert near.cite([(4, quote)])[0] == [{"passage": 4, "quote": quote, "section": ""}]
    assert far.cite([(4, quote), (9, quote)]) == ([], 2)


@pytest.mark.parametrize(
    ("page", "quote", "shown"),
    [
        ("It weighs 10³ kg.", "It weighs 103 kg", None),
        ("It weighs 10³ kg.", "it weighs 10³ kg", "It weighs 10³ kg"),
        ("It takes 1½ hours.", "It takes 11/2 hours", None),
        ("Water is H₂O, see ①.", "water is h₂o, see ①", "Water is H₂O, see ①"),
        ("See step 1①.", "See step 11", None),
        ("The “Alte  Brücke”\nwas **old**.", '"alte brücke" was old', "“Alte Brücke” was **old"),
        ("Set `max_len` to 5.", "Set maxlen to 5", "Set `max_len` to 5"),
        ("ＡＢＣ of Cafe\u0301 Noir", "ABC of Café Noir", "ＡＢＣ of Cafe\u0301 Noir"),
        ("The Straße is long.", "the strasse is", "The Straße is"),
        ("See [the old bridge](https://x.test/) there.", "old bridge there", "old bridge there"),
        ("It was new in 1788, and fell.", "It was new … 1788, and", "It was new ... 1788, and"),
    ],
)  # fmt: skip
def test_a_quotation_is_shown_as_it_stands_in_the_page(
    page: str, quote: str, shown: str | None
) -> None:
    citations, _ = numbered((1, page)).cite([(1, quote)])
    assert [it["quote"] for it in citations] == ([shown] if shown else [])


@given(st.text(), st.integers(0, 50), st.integers(1, 80))
def test_what_is_copied_from_a_page_is_found_or_nothing(page: str, at: int, size: int) -> None:
    for found in numbered((1, page)).cite([(1, page[at : at + size])])[0]:
        assert visible(" ".join(page.split())).find(found["quote"]) >= 0 or "[" in page


def test_a_link_in_the_page_does_not_break_a_quotation() -> None:
    source = Source(chunks('See [the *old* bridge](https://x.test/a_(b) "t") of Heidelberg.'))
    assert source.cite([(1, "See the old bridge of Heidelberg")])[1] == 0


@pytest.mark.parametrize("text", ["", "{}", "Sure! Here you go", "ANSWER:", 'QUOTES:\n[1] "a"'])
def test_what_keeps_to_no_form_is_no_answer(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("text", ["NOT FOUND", "not found.", "**NOT FOUND**", "ANSWER: NOT FOUND"])
def test_not_found_is_understood(text: str) -> None:
    reply = parse(text)
    assert reply is not None
    assert (reply.found, reply.text) == (False, "")


def test_an_answer_may_begin_with_the_words_not_found() -> None:
    reply = parse("ANSWER:\nNot found guilty, he was set free [1].")
    assert reply is not None
    assert reply.found


@given(st.text(max_size=300))
def test_a_text_that_does_not_loop_stays(text: str) -> None:
    kept, cut = without_repetition(text)
    assert cut or kept == text


@pytest.mark.parametrize("unit", ["no ", "line\n", "A sentence of some length, said again. "])
def test_a_loop_is_cut_to_its_first_time(unit: str) -> None:
    kept, cut = without_repetition("Before it. " + unit * 300)
    assert cut
    assert kept.startswith("Before it.")
    assert len(kept) <= len("Before it. " + unit * 2)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h/v1", "http://h/v1/chat/completions"),
        ("http://h:1/v1/", "http://h:1/v1/chat/completions"),
        ("http://h", "http://h/v1/chat/completions"),
        ("https://h/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/x/chat/completions?v=1", "https://h/x/chat/completions?v=1"),
    ],
)
def test_the_endpoint_may_be_named_in_full_or_by_its_base(base: str, url: str) -> None:
    assert ExtractSettings(llm_base_url=base, llm_model_name="m").chat_url == url


def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    settings = ExtractSettings(llm_api_key_file=tmp_path / "key")
    assert settings.key() == "sk-1"


def test_settings_come_from_the_names_people_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUMMARY_LLM_BASE_URL", "http://h/v1")
    monkeypatch.setenv("SUMMARY_LLM_MODEL_NAME", "m")
    monkeypatch.setenv("SUMMARY_LLM_API_KEY", "sk-1")
    settings = ExtractSettings()
    assert (settings.chat_url, settings.key()) == ("http://h/v1/chat/completions", "sk-1")
    assert "sk-1" not in repr(settings)


@pytest.mark.parametrize("url", ["ftp://h/v1", "h/v1", "http://"])
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        ExtractSettings(llm_base_url=url, llm_model_name="m")


def test_an_endpoint_without_a_model_is_refused() -> None:
    with pytest.raises(ValidationError, match="SUMMARY_LLM_MODEL_NAME"):
        ExtractSettings(llm_base_url="http://h/v1")
