"""Chinese and Japanese pages: encodings that are wrong or not declared, and their own customs."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.eastern import eastern
from benchmarks.labelled import Labelled, code_kept, f1, plain, rows_kept
from mcp_servers.web.page import Page
from mcp_servers.web.reading.documents import Job, read

PAGES = {page.name: page for page in eastern()}
TITLES = {
    "answers_cn": "为什么茶叶用沸水冲泡会发苦",
    "answers_ja": "梅干しのカビについて教えてください",
    "board_tw": "環島九天紀錄",
    "diary_ja": "山歩き日記",
    "docs_cn": "配置缓存",
    "docs_ja": "設定ファイルの書き方",
    "forum_cn": "老房子阳台漏水怎么处理才彻底",
    "news_cn": "青河大桥完成主塔封顶",
    "news_ja": "廃校の体育館が醸造所に",
    "news_tw": "老戲院修復完成",
    "notice_cn": "城区供水管网改造期间停水",
    "novel_ja": "灯台守の手紙",
    "shop_cn": "松木砧板",
    "shop_ja": "鋳鉄フライパン",
    "wiki_ja": "鳴瀬鉄道",
    "wiki_tw": "霧社溪",
}
AROUND = {
    "answers_cn": ["发现", "隔夜茶到底能不能喝", "举报"],
    "answers_ja": ["人気のカテゴリ", "ぬか床", "利用規約"],
    "board_tw": ["聯絡資訊", "返回看板"],
    "diary_ja": ["前の山行へ"],
    "docs_cn": ["快速开始", "上次更新", "在 GitHub 上编辑"],
    "docs_ja": ["クイック検索", "Sphinx 5.0", "索引"],
    "forum_cn": ["立即注册", "Powered by", "小黑屋"],
    "news_cn": ["菜市场里的修表匠", "ICP备", "设为首页", "会员中心领取红包"],
    "news_ja": ["アクセスランキング", "お問い合わせ", "ログイン"],
    "news_tw": ["高鐵加開", "隱私權聲明"],
    "notice_cn": ["建议使用IE8"],
    "novel_ja": [],
    "shop_cn": ["友情链接", "免费注册", "不锈钢菜刀"],
    "shop_ja": ["お気に入り", "くるみ", "プライバシーポリシー"],
    "wiki_ja": ["アカウント作成", "編集]", "仙北鉄道 -"],
    "wiki_tw": ["隨機條目", "編輯]", "隱私權政策"],
}


@cache
def reading(name: str) -> Page:
    page = PAGES[name]
    return read(Job(page.body, page.header, page.url))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_decoded_and_what_is_around_its_content_left_out(name: str) -> None:
    found = reading(name)
    assert found.status == "ok"
    assert TITLES[name] in found.title
    assert "\ufffd" not in found.title + found.markdown
    assert [phrase for phrase in AROUND[name] if phrase in found.markdown] == []


@pytest.mark.parametrize("name", PAGES)
def test_the_main_content_is_found(name: str) -> None:
    assert f1(plain(reading(name).markdown), PAGES[name].truth) > 0.78


def test_on_the_whole_little_is_missed_and_little_is_too_much() -> None:
    scores = [f1(plain(reading(name).markdown), page.truth) for name, page in PAGES.items()]
    assert sum(scores) / len(scores) > 0.91


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_code_stays_verbatim_and_rows_stay_rows(page: Labelled) -> None:
    for kept, count in (
        code_kept(page, reading(page.name).markdown),
        rows_kept(page, reading(page.name).markdown),
    ):
        assert kept == count


def test_code_with_chinese_and_japanese_names_its_language() -> None:
    assert "```python\nfrom hetu.cache import cached\n" in reading("docs_cn").markdown
    assert "```ini\n# 待ち受けるポート\nport = 8080\n" in reading("docs_ja").markdown


def test_links_are_absolute_and_those_that_are_coded_stay_so() -> None:
    assert "[Redis 插件](https://east.example/plugin/redis.html)" in reading("docs_cn").markdown
    target = "https://east.example/wiki/%E6%BF%81%E6%B0%B4%E6%BA%AA"
    assert f"是[濁水溪]({target})上游" in reading("wiki_tw").markdown


def test_a_reading_follows_its_word_whether_or_not_it_comes_with_brackets() -> None:
    assert "採れる甘夏（あまなつ）の皮" in reading("news_ja").markdown
    assert "硝子（ガラス）窓" in reading("novel_ja").markdown


def markdown(content: str) -> str:
    return read(Job(content.encode(), "text/html; charset=utf-8", "https://east.example/")).markdown


def test_a_word_is_not_torn_by_the_readings_of_its_letters() -> None:
    text = "<p>昔の<ruby>東<rt>とう</rt>京<rt>きょう</rt></ruby>駅で<ruby><a href='/x'>待合室</a><rp>(</rp><rt>まちあいしつ</rt><rp>)</rp></ruby>に入る。</p>"
    assert (
        markdown(text)
        == "昔の東京（とうきょう）駅で[待合室](https://east.example/x)（まちあいしつ）に入る。"
    )


def test_the_end_of_a_line_is_no_space_between_letters_that_need_none() -> None:
    assert markdown(
        "<p>要注意的是大漢溪左岸\n   的自行車道，\n晚上沒有路燈。\nSee\nthe map.</p>"
    ) == ("要注意的是大漢溪左岸的自行車道，晚上沒有路燈。 See the map.")


def test_the_spaces_that_indent_a_paragraph_are_none_of_its_text() -> None:
    assert (
        markdown("<p>　　本报讯，大桥通车。</p><p>　家住南岸。</p>")
        == "本报讯，大桥通车。\n\n家住南岸。"
    )
