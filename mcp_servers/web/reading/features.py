"""What can be said of a leaf block without understanding it: the measures `selection` weighs."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from lxml.html import HtmlElement

from mcp_servers.web.reading.leaf import WIDE, Leaf, key, measured, size_of
from mcp_servers.web.reading.names import Inherited, inherited

_PHRASE = re.compile(
    r"©|all rights reserved|privacy policy|terms of|cookie|subscribe|sign (?:up|in)|log ?in"
    r"|newsletter|share (?:this|on)"
    r"|follow us|read more|learn more|see (?:all|more)|view (?:all|more)|show more|load more"
    r"|add to (?:cart|bag|wish)"
    r"|related|you may also|click here|leave a (?:comment|reply)|contact us|advertis|download"
    r" (?:our|the) app|skip to",
    re.IGNORECASE,
)
_EASTERN_PHRASE = re.compile(
    # Chinese, in both scripts
    "[版著][权權]|[转轉][载載]|免[责責][声聲]明|[责責]任[编編][辑輯]|[编編][辑輯][:：]|分享[到至]|[举舉][报報]"
    "|相[关關](?:[阅閱][读讀]|文章|[新推]|[问問][题題])|延伸[阅閱][读讀]|[推猜](?:荐|薦|你喜)|看了又看"
    "|[热熱][门門点點]|排行|上一[篇页頁]|下一[篇页頁]|[当當您]前?的?位置|首[页頁]|[登註注][录錄入册冊]"
    "|[购購]物[车車]|立即[购購]|[关關][于於注]我[们們]|[联聯][系系絡络]我[们們]|[隐隱][私私]|服[务務][条條]款"
    "|[备備]案|[许許]可[证證]|收藏|点击|點擊|返回|回[复覆]|[评評][论論]|查看[:：更]|[阅閱][读讀](?:次[数數]|全文)"
    "|[发發]布|[发發]表[于於]|打印|列印|[关關][闭閉]|[导導][航覽]|[分目][类類][录錄次]?[:：]|[订訂][阅閱]|客服|退[货貨]|[主承][办辦][:：]|[邮郵][编編遞]"
    # Japanese
    "|無断|著作|プライバシー|個人情報|利用規約|商取引|問い合わせ|会社概要|運営|ログイン|[会新][員規]登録"
    "|シェア|ツイート|ブックマーク|関連(?:記事|ニュース|する)|ランキング|人気|おすすめ|買った人|[前次]へ|トップ|ホーム"
    "|カート|カゴ|お気に入り|マイページ|送料|通報|続きを読|もっと見|広告|フォロー|サイトマップ|検索|ナビゲーション"
    "|カテゴリ|回答日時|参考になった|最終更新"
)
"""The like in blocks so short that they hold nothing else."""

_SHORT = 150

_LD = {
    "article": re.compile(r'"@type"\s*:\s*\[?\s*"(?:\w*Article|BlogPosting|Report)"'),
    "product": re.compile(r'"@type"\s*:\s*\[?\s*"(?:Product\w*|Vehicle|Book)"'),
    "list": re.compile(
        r'"@type"\s*:\s*\[?\s*"(?:ItemList|CollectionPage|OfferCatalog|SearchResultsPage)"'
    ),
    "forum": re.compile(r'"@type"\s*:\s*\[?\s*"(?:DiscussionForumPosting|QAPage|Question|Answer)"'),
}
_WORD = re.compile(r"\w+")
_UPPER = 0.03
"""The share of capitals in English, which letters without case are given."""


@dataclass(slots=True)
class Mass:
    """What lies below an element: characters, those in links, those that were selected, blocks."""

    chars: float = 0
    linked: float = 0
    chosen: float = 0
    prose: float = 0
    blocks: int = 0


def matrix(blocks: list[HtmlElement], chosen_text: str, source: str) -> np.ndarray:
    """Return a row of measures for each block.

    Args:
        blocks: The leaf blocks in order.
        chosen_text: What another extractor holds to be the main content.
        source: The HTML, for what it declares itself to be.
    """
    whole = key(chosen_text)
    items = measured(blocks, chosen_text)
    masses: dict[HtmlElement, Mass] = defaultdict(Mass)
    for item in items:
        for element in (item.element, *item.above):
            _add(masses[element], item)
    page = _page(items, size_of(whole), source)
    known: Inherited = {}
    own = [_own(item) for item in items]
    places = _places(items)
    flags = [float(item.chosen) for item in items]
    sizes = [item.size for item in items]
    around = _around(flags, sizes)
    repeats = _repeats(items)
    rows = []
    for i, item in enumerate(items):
        rows.append(
            own[i]
            + own[i - 1][:6] * (i > 0) + [0.0] * 6 * (i == 0)
            + (own[i + 1][:6] if i + 1 < len(items) else [0.0] * 6)
            + _surroundings(item, masses, page[1])
            + inherited([item.element, *item.above], known)
            + places[i] + around[i] + repeats[i] + page
        )  # fmt: skip
    return np.array(rows, dtype=np.float32)


def _add(mass: Mass, item: Leaf) -> None:
    size = item.size
    mass.chars += size
    mass.linked += min(item.linked, size)
    mass.chosen += size * item.chosen
    mass.prose += size if size > 80 and item.linked * 2 < size else 0
    mass.blocks += 1


def _own(item: Leaf) -> list[float]:
    text, size = item.text.strip(), item.size
    words = _words(item, text)
    tag = str(item.element.tag)
    level = int(tag[1]) if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit() else 0
    return [
        math.log1p(size),
        min(1.0, item.linked / size) if size else 0.0,
        float(item.chosen),
        float(level),
        len(re.findall(r"[.!?。！？](?:\s|$)|[。！？]", text)) / (words + 1),
        float(_is_phrase(item, text)),
        len(re.findall(r"[,;，、]", text)) / (words + 1),
        sum(c.isdigit() for c in text) / (len(text) + 1),
        (sum(c.isupper() for c in text) + _UPPER * item.wide) / (len(text) + 1),
        size / (words + 1),
        words,
        float(tag == "p"),
        float(tag == "li"),
        float(tag in ("td", "th")),
        float(tag in ("pre", "tex")),
        float(tag in ("dt", "dd")),
        float(tag in ("figcaption", "caption")),
        float(text[-1:] in ".!?。！？:;：；」』"),
        float(text[-1:] in (":", "：")),
        float("?" in text[-2:] or "？" in text[-2:]),
        float(text[:1].isupper() or WIDE.match(text[:1]) is not None),
        float(item.linked > 0),
    ]


def _is_phrase(item: Leaf, text: str) -> bool:
    if item.wide and item.size < _SHORT and _EASTERN_PHRASE.search(text):
        return True
    return _PHRASE.search(text[:300]) is not None


def _words(item: Leaf, text: str) -> float:
    """Return how many words there are; where none are set apart, as many as are likely."""
    if not item.wide:
        return float(len(_WORD.findall(text)))
    return len(_WORD.findall(WIDE.sub(" ", text))) + item.wide / 2


def _surroundings(item: Leaf, masses: dict[HtmlElement, Mass], whole: float) -> list[float]:
    found: list[float] = []
    above = item.above
    for level in (0, 1, 2, 3, 5):
        mass = masses[above[min(level, len(above) - 1)]] if above else Mass()
        found += [
            math.log1p(mass.chars),
            mass.linked / (mass.chars + 1),
            mass.chosen / (mass.chars + 1),
            mass.prose / (mass.chars + 1),
            mass.chars / (math.expm1(whole) + 1),
        ]
    section = next((a for a in above if a.tag in ("section", "article", "main", "aside")), None)
    mass = masses[section] if section is not None else Mass()
    found += [
        mass.chosen / (mass.chars + 1),
        math.log1p(mass.chars),
        mass.linked / (mass.chars + 1),
    ]
    return found


def _places(items: list[Leaf]) -> list[list[float]]:
    total = sum(item.size for item in items) + 1
    heads = [i for i, item in enumerate(items) if item.element.tag == "h1"]
    h1 = heads[0] if heads else -1
    chosen = [i for i, item in enumerate(items) if item.chosen and item.size >= 20]
    first, last = (chosen[0], chosen[-1]) if chosen else (-1, -1)
    seen: Counter[str] = Counter()
    counts = Counter(item.key for item in items)
    so_far, found = 0.0, []
    for i, item in enumerate(items):
        found.append(
            [
                i / len(items),
                so_far / total,
                float(h1 >= 0 and i >= h1),
                float(max(-50, min(200, i - h1))) if h1 >= 0 else -99.0,
                float(first <= i <= last) if chosen else -1.0,
                float(max(-50, min(50, i - first))) if chosen else -99.0,
                float(max(-50, min(50, i - last))) if chosen else -99.0,
                float(seen[item.key]),
                float(min(9, counts[item.key])),
            ]
        )
        seen[item.key] += 1
        so_far += item.size
    return found


def _around(flags: list[float], sizes: list[float]) -> list[list[float]]:
    """The share of chosen text among the blocks before and after, near and farther."""
    count = len(flags)
    chosen = [0.0, *accumulate(f * s for f, s in zip(flags, sizes, strict=True))]
    every = [0.0, *accumulate(sizes)]
    flagged = [0.0, *accumulate(flags)]
    found = []
    for i in range(count):
        row = []
        for reach in (1, 2, 4, 10):
            low, high = max(0, i - reach), min(count, i + reach + 1)
            row += [
                (chosen[i] - chosen[low]) / (every[i] - every[low] + 1),
                (chosen[high] - chosen[i + 1]) / (every[high] - every[i + 1] + 1),
                (flagged[high] - flagged[low]) / (high - low),
            ]
        found.append(row)
    return found


def _repeats(items: list[Leaf]) -> list[list[float]]:
    """Whether the block is part of a record that repeats: how often, and at which level."""
    groups: dict[HtmlElement, Counter[str]] = {}
    found = []
    for item in items:
        best, level = 0, 0
        path = [item.element, *item.above]
        for depth, element in enumerate(path[:8]):
            parent = element.getparent()
            if parent is None or element.tag in ("p", "td", "tr", "br"):
                continue
            if parent not in groups:
                groups[parent] = Counter(_shape(child) for child in parent)
            count = groups[parent][_shape(element)]
            if count >= 3 and count > best:
                best, level = count, depth + 1
        found.append([math.log1p(best), float(level)])
    return found


def _shape(element: HtmlElement) -> str:
    return f"{element.tag}.{(element.get('class') or '').split(' ')[0]}"


def _page(items: list[Leaf], chosen: float, source: str) -> list[float]:
    chars = sum(item.size for item in items)
    linked = sum(min(item.linked, item.size) for item in items)
    return [
        math.log1p(chosen),
        math.log1p(chars),
        min(2.0, chosen / (chars + 1)),
        linked / (chars + 1),
        math.log1p(len(items)),
        float(sum(item.size > 200 for item in items)),
        float(re.search(r"og:type[\"'][^>]*article", source[:200_000]) is not None),
        float(re.search(r"og:type[\"'][^>]*product", source[:200_000]) is not None),
        *(float(pattern.search(source) is not None) for pattern in _LD.values()),
        float(min(50, source.count("<article"))),
        float(min(50, source.count("<pre"))),
    ]
