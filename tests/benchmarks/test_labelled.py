"""How the benchmark of reading counts."""

from __future__ import annotations

from benchmarks.eastern import eastern
from benchmarks.labelled import Labelled, code_kept, f1, plain, rows_kept, words
from benchmarks.truth import labels

PAGE = Labelled(
    "1",
    "article",
    "",
    b"<p>Run it:</p><pre>a = first_value\n  b = 2  </pre>"
    b"<table><tr><td>Year one</td><td>40 ships</td></tr></table>",
    "Run it: a = first_value b = 2 Year one 40 ships",
)


def test_words_count_as_often_as_they_stand_there() -> None:
    assert f1("The bell, the bell", "the bell") == 2 * 2 / 6
    assert f1("", "the bell") == 0.0


def test_addresses_of_links_are_no_words() -> None:
    assert plain("see [the map](https://a.b/c_(d)) and ![a bay](x.png)") == "see the map and a bay"


def test_code_counts_only_when_it_is_verbatim() -> None:
    assert code_kept(PAGE, "```py\na = first_value\n  b = 2\n```") == (1, 1)
    assert code_kept(PAGE, "```\na = first_value\nb = 2\n```") == (0, 1)


def test_a_row_counts_only_when_it_is_one_line() -> None:
    assert rows_kept(PAGE, "| [Year one](x) | 40 ships |") == (1, 1)
    assert rows_kept(PAGE, "Year one\n\n40 ships") == (0, 1)


def test_a_block_is_in_the_truth_by_its_words_and_a_short_one_by_its_place() -> None:
    long, other = "The harbour lies in a bay to the north", "Nobody remembers who began all of it"
    texts = ["Home", long, "Bell", other, "Home", "Something else that is nowhere in there"]
    assert labels(texts, f"{long}\nBell\n{other}") == [0, 1, 1, 1, 0, 0]


def test_chinese_and_japanese_count_by_pairs_of_neighbouring_letters() -> None:
    assert words("港口 of 2024年，山") == ["港口", "of", "2024", "年", "山"]
    assert words("海湾里") == ["海湾", "湾里"]
    assert f1("港口的钟", "港口的钟。") == 1
    assert 0 < f1("港口的船", "港口的钟") < 1


def test_the_eastern_pages_are_sent_as_they_say_and_their_marks_are_gone() -> None:
    found = {page.name: page for page in eastern()}
    assert len(found) >= 12
    assert all(page.truth.strip() and b"<!--main" not in page.body for page in found.values())
    assert "岬（みさき）の灯台" in found["novel_ja"].truth
    assert found["news_cn"].body.decode("gbk")
