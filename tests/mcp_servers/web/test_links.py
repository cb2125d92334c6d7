"""What links look like, and which of them nobody gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_servers.web.links import BlockedLinks, readable


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


def test_a_host_alone_blocks_all_of_it() -> None:
    blocked = BlockedLinks(["example.com"])
    assert blocked.blocks("https://a.example.com/x")
    assert blocked.blocks("http://example.com")
