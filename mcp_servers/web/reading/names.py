"""What the names of a block and of the elements around it tell: tags, roles, classes, ids."""

from __future__ import annotations

import re

from lxml.html import HtmlElement

_WORDS = {
    "nav": r"nav|menu|crumb|topicpath|pankuzu|toc\b|table-of-contents|pagination|pager",
    "edge": r"header|footer|masthead|topbar|top-bar|toolbar|copyright|legal|declare|disclaimer"
    r"|print-?footer|cat-?links",
    "side": r"side-?bar|aside|rail\b|widget|right-?col|secondary|complementary",
    "more": r"relate|recommend|ranking|more-|popular|trending|latest|recent|also|next-|suggest"
    r"|similar|upsell|cross-?sell",
    "share": r"share|social|follow|subscribe|newsletter|sign-?up|signup|cta\b|promo|banner"
    r"|advert|\bads?\b|sponsor",
    "popup": r"modal|popup|pop-up|overlay|cookie|consent|gdpr|drawer|tooltip|dropdown"
    r"|offcanvas|dialog",
    "talk": r"comment|disqus|repl(?:y|ies)|respond",
    "about": r"author|byline|bio\b|meta\b|date|time|posted|tags?\b|category|categories|avatar"
    r"|user",
    "review": r"review|rating|stars|testimonial",
    "body": r"content|article|post|entry|body|story|main|text|prose|markdown|rich|copy",
    "thing": r"product|detail|desc|spec|feature|overview|summary|info",
    "thread": r"message|answer|question|thread|topic|reply-body|discussion",
    "record": r"item|card|result|listing|list|grid|tile|row|col\b",
    "action": r"button|btn|form|search|filter|sort|login|cart|price|qty|quantity|label",
}
_NAMES = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _WORDS.items()}
_TAGS = (
    *("nav", "header", "footer", "aside", "main", "article", "section", "form", "table"),
    *("ul", "ol", "dl", "figure", "blockquote", "details"),
)
_ROLES = {
    "navigation": "nav",
    "banner": "header",
    "contentinfo": "footer",
    "complementary": "aside",
    "main": "main",
}
_ITEMPROPS = re.compile(
    r"articleBody|description|reviewBody|text|mainEntity|headline", re.IGNORECASE
)
_WIDTH = len(_NAMES) + len(_TAGS) + 1
_FADES = 0.8

Inherited = dict[HtmlElement | tuple[str, ...], list[float]]
"""What is known already, of elements and of names."""


def inherited(path: list[HtmlElement], known: Inherited) -> list[float]:
    """Return how near above the block an element of each sort is (1 the block itself, 0 none).

    Args:
        path: The block and its ancestors.
        known: What earlier calls for the same page found; it grows.
    """
    found = [0.0] * _WIDTH
    for element in reversed(path):
        if element.tag in ("html", "body"):
            continue
        mine = known.get(element)
        if mine is None:
            declared = _declared(element, known)
            mine = [max(_FADES * f, m) for f, m in zip(found, declared, strict=True)]
            known[element] = mine
        found = mine
    return [*found, float(len(path))]


def _declared(element: HtmlElement, known: Inherited) -> list[float]:
    attributes = element.attrib
    said = " ".join(attributes.get(name, "") for name in ("class", "id", "data-testid"))[:400]
    tag = _ROLES.get(attributes.get("role", ""), str(element.tag))
    names = (tag, attributes.get("itemprop", ""), said)
    mine = known.get(names)
    if mine is None:
        # Words that are run together, asInThis, are told apart.
        apart = re.sub(r"[a-z](?=[A-Z])", r"\g<0>-", said)[:300]
        mine = known[names] = [
            *(float(bool(pattern.search(apart))) for pattern in _NAMES.values()),
            *(float(tag == name) for name in _TAGS),
            float(bool(_ITEMPROPS.search(names[1]))),
        ]
    return mine
