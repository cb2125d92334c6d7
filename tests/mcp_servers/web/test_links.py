"""What links look like, and which of them nobody gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_servers.web.links import BlockedLinks, readable
from mcp_servers.web.searching.shape import Cleaning


@pytest.mark.parametrize(
    ("link", "seen"),
    [
        ("https://zh.wikipedia.org/wiki/%E4%B8%AD%E5%9B%BD", "https://zh.wikipedia.org/wiki/中国"),
        ("https://a.org/%41%2D%7Eb", "https://a.org/A-~b"),
        ("https://a.org/a%20b%25c%2Fd%3Fe%23f%26g", "https://a.org/a%20b%25c%2Fd%3Fe%23f%26g"),
        ("https://a.org/%ff%fe", "https://a.org/%ff%fe"),
        ("https://a.org/%0a%00%E2%80%AE", "https://a.org/%0A%00%E2%80%AE"),
        ("https://a.org/100%", "https://a.org/100%"),
    ],
)
def test_a_link_is_decoded_as_far_as_it_stays_the_same_link(link: str, seen: str) -> None:
    assert readable(link) == seen


@given(st.text())
def test_decoding_twice_changes_nothing_more(text: str) -> None:
    once = readable(text)
    assert readable(once) == once


@pytest.mark.parametrize(
    "link",
    [
        "https://huggingface.co/datasets",
        "https://huggingface.co/datasets/gaia/x?y#z",
        "HTTPS://HuggingFace.co:443/Datasets/x",
        "https://www.huggingface.co./datasets/x",
        "https://huggingface.co//datasets/x",
        "https://huggingface.co/%64atasets/x",
        "https://huggingface.co/%2564atasets/x",
        "https://user@huggingface.co/datasets/x",
        "https://huggingface.co/models/../datasets/x",
        "https://huggingface.co/./datasets/x",
        "https://huggingface.co/models/%2e%2e/datasets/x",
        "https://huggingface.co/%2E/datasets/x",
        "https://huggingface.co/models/%252e%252e/datasets/x",
        "https://huggingface.co/models/..%2fdatasets/x",
        "https://huggingface.co/models/..%5cdatasets\\x",
        "https://huggingface.co/%25252564atasets/x",
        "https://huggingface.co/datasets%2fx",
        "https://huggingface.co/datasets/%2e%2e/x",
        "https://huggingface%2eco/datasets/x",
        "https://huggingface。co/datasets/x",
    ],
)
def test_a_blocked_link_is_blocked_however_it_is_written(link: str) -> None:
    assert BlockedLinks(["huggingface.co/datasets"]).blocks(link)


@pytest.mark.parametrize(
    "link",
    [
        "https://huggingface.co/",
        "https://huggingface.co/datasets-guide",
        "https://nothuggingface.co/datasets",
        "https://example.org/?u=huggingface.co/datasets",
        "https://[",
        "",
    ],
)
def test_other_links_are_not(link: str) -> None:
    assert not BlockedLinks(["huggingface.co/datasets", " ", ""]).blocks(link)


@pytest.mark.parametrize(
    ("pattern", "link"),
    [
        ("https://example.com/private", "https://example.com/private/x"),
        ("example.com:8080/private", "https://example.com/private"),
        ("example.com/%70rivate/", "https://example.com/private/x"),
        ("example.com/a b", "https://example.com/a%20b/c"),
        ("www.bücher.example/x", "https://www.xn--bcher-kva.example/x"),
        ("xn--bcher-kva.example", "https://www.BÜCHER.example/x"),
        ("example.com/a/../b", "https://example.com/b"),
    ],
)
def test_a_pattern_holds_however_it_is_written(pattern: str, link: str) -> None:
    assert BlockedLinks([pattern]).blocks(link)


@given(st.text())
def test_any_text_is_a_link_that_is_blocked_or_not(text: str) -> None:
    for link in (text, f"https://{text}", f"https://example.com/{text}"):
        assert BlockedLinks([text, "example.com/x"]).blocks(link) in (True, False)


def test_a_host_alone_blocks_all_of_it() -> None:
    blocked = BlockedLinks(["example.com"])
    assert blocked.blocks("https://a.example.com/x")
    assert blocked.blocks("http://example.com")


def test_a_result_with_a_blocked_link_is_not_shown_whatever_the_case_of_its_scheme() -> None:
    found = [{"link": "HTTPS://huggingface.co/datasets/x"}, {"link": "Http://a.org"}]
    cleaned = Cleaning(BlockedLinks(["huggingface.co/datasets"])).clean({"organic": found})
    assert cleaned["organic"] == [{"link": "Http://a.org"}]
