"""Answers of search providers, in the shapes that their documentation shows."""

from __future__ import annotations

from typing import Any

SERPER: dict[str, Any] = {
    "searchParameters": {
        "q": "apple",
        "gl": "us",
        "hl": "en",
        "type": "search",
        "engine": "google",
    },
    "knowledgeGraph": {
        "title": "Apple",
        "type": "Technology company",
        "website": "http://www.apple.com/",
        "attributes": {"Founded": "April 1, 1976"},
    },
    "answerBox": {"snippet": "Apple Inc. is a company.", "title": "Apple", "link": "https://a.org"},
    "organic": [
        {
            "title": "Apple",
            "link": "https://www.apple.com/%E4%B8%AD%20%2F",
            "snippet": "Discover Apple.",
            "sitelinks": [{"title": "Support", "link": "https://support.apple.com/"}],
            "position": 1,
        },
        {
            "title": "Answers to a benchmark",
            "link": "https://huggingface.co/datasets/gaia",
            "snippet": "42",
            "position": 2,
        },
        {
            "title": "Apple Inc.",
            "link": "https://en.wikipedia.org/wiki/Apple_Inc.",
            "snippet": "An American company.",
            "date": "Jan 2, 2026",
            "position": 3,
        },
    ],
    "peopleAlsoAsk": [
        {"question": "What?", "snippet": "It.", "title": "T", "link": "https://b.org"}
    ],
    "relatedSearches": [{"query": "apple store"}],
    "topStories": [{"title": "dropped"}],
    "credits": 1,
}

SEARXNG: dict[str, Any] = {
    "query": "apple",
    "number_of_results": 0,
    "results": [
        {
            "url": "https://one.org/",
            "title": "One",
            "content": "The <b>first</b> &amp; best.",
            "engine": "duckduckgo",
            "engines": ["duckduckgo"],
            "positions": [1],
            "score": 4.0,
            "publishedDate": "2026-01-02T00:00:00",
            "category": "general",
        },
        {"url": "https://two.org/", "title": "Two", "content": "", "publishedDate": None},
    ],
    "answers": [{"answer": "It is a fruit.", "url": "https://one.org/"}],
    "corrections": [],
    "infoboxes": [{"infobox": "Apple", "content": "A fruit.", "urls": []}],
    "suggestions": ["apple pie"],
    "unresponsive_engines": [["google", "CAPTCHA"]],
}

BRAVE: dict[str, Any] = {
    "type": "search",
    "query": {"original": "apple", "more_results_available": True},
    "web": {
        "type": "search",
        "results": [
            {
                "title": "One",
                "url": "https://one.org/",
                "description": "The <strong>first</strong> &amp; best.",
                "age": "January 2, 2026",
                "deep_results": {
                    "buttons": [],
                    "results": [{"title": "In", "url": "https://i.org"}],
                },
            },
            {"title": "Two", "url": "https://two.org/", "description": ""},
        ],
    },
    "faq": {
        "results": [{"question": "What?", "answer": "It.", "title": "T", "url": "https://b.org"}]
    },
    "infobox": {"results": [{"title": "Apple", "description": "A fruit."}]},
}

TAVILY: dict[str, Any] = {
    "query": "apple",
    "answer": "It is a fruit.",
    "images": [],
    "results": [
        {
            "title": "One",
            "url": "https://one.org/",
            "content": "The first & best.",
            "score": 0.9,
            "raw_content": None,
            "published_date": "2026-01-02",
        },
        {"title": "Two", "url": "https://two.org/", "content": "", "score": 0.8},
    ],
    "response_time": 1.2,
}

JINA: dict[str, Any] = {
    "code": 200,
    "status": 20000,
    "data": [
        {
            "title": "One",
            "url": "https://one.org/",
            "description": "The first & best.",
            "date": "Jan 2, 2026",
            "content": "",
            "usage": {"tokens": 0},
        },
        {"title": "Two", "url": "https://two.org/", "description": "", "content": ""},
    ],
    "meta": {"usage": {"tokens": 10000}},
}

DUCKDUCKGO = b"""<html><body><div class="result results_links web-result">
<div class="links_main links_deep result__body"><h2 class="result__title">
<a class="result__a" href="https://one.org/">One</a></h2>
<a class="result__snippet" href="https://one.org/">The <b>first</b> &amp; best.</a></div></div>
</body></html>"""
