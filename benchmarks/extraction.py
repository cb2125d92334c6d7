"""How well pages are read: `python -m benchmarks.extraction DATA`, a folder as `labelled` has it.

Also how well the Chinese and Japanese pages of `eastern` are, by pairs of neighbouring letters.
For each page type the mean F1 of words, for trafilatura's Markdown, the text that readability-lxml
finds, and our Markdown, addresses of links left out; code that stays verbatim, rows of tables that
stay rows, and CPU time a page.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

from benchmarks.eastern import eastern
from benchmarks.labelled import Labelled, code_kept, f1, pages, plain, rows_kept
from mcp_servers.web.reading import hypertext
from mcp_servers.web.reading.charset import decode


@dataclass(frozen=True, slots=True)
class Score:
    """What one extractor made of one page."""

    page_type: str
    f1: float
    code: tuple[int, int]
    rows: tuple[int, int]
    cpu_s: float


def by_trafilatura(page: Labelled) -> str:
    """Return trafilatura's own Markdown."""
    from trafilatura import extract

    return (
        extract(page.body, url=page.url or None, output_format="markdown", include_links=True) or ""
    )


def by_readability(page: Labelled) -> str:
    """Return the text of what readability-lxml takes for the main content."""
    from lxml.html import fromstring
    from readability import Document

    found = Document(decode(page.body, page.header)).summary(html_partial=True)
    # Blocks are set apart, as Markdown would; within them text stays as it is.
    root = fromstring(found)
    return "\n".join(str(text) for text in root.itertext())


def by_us(page: Labelled) -> str:
    """Return our Markdown, read in this process."""
    return hypertext.read(decode(page.body, page.header), page.url).markdown


EXTRACTORS: dict[str, Callable[[Labelled], str]] = {
    "trafilatura": by_trafilatura,
    "readability": by_readability,
    "ours": by_us,
}


def judged(page: Labelled, extract: Callable[[Labelled], str]) -> Score:
    """Return what one extractor makes of a page."""
    begun = time.process_time()
    markdown = extract(page)
    cpu_s = time.process_time() - begun
    words = f1(plain(markdown), page.truth)
    return Score(page.page_type, words, code_kept(page, markdown), rows_kept(page, markdown), cpu_s)


def score(page: Labelled) -> dict[str, Score]:
    """Return the score of each extractor for one page."""
    logging.disable(logging.CRITICAL)
    return {name: judged(page, extract) for name, extract in EXTRACTORS.items()}


def report(scores: list[dict[str, Score]]) -> str:
    """Return the tables that `docs/performance.md` holds."""
    extractors = list(scores[0])
    by_type: dict[str, list[dict[str, Score]]] = defaultdict(list)
    for each in scores:
        by_type[each[extractors[0]].page_type].append(each)
    names = " | ".join(extractors)
    rule = "|---" * (2 + len(extractors)) + "|"
    lines = [f"| page type | pages | {names} |", rule]
    for page_type, group in [*sorted(by_type.items()), ("all", scores)]:
        means = (sum(s[name].f1 for s in group) / len(group) for name in extractors)
        lines.append(f"| {page_type} | {len(group)} | {' | '.join(f'{m:.3f}' for m in means)} |")
    lines += ["", f"| measure | of | {names} |", rule]
    for title, what in (("code verbatim", "code"), ("rows of tables", "rows")):
        shares = [_share([getattr(s[name], what) for s in scores]) for name in extractors]
        lines.append(f"| {title} | {shares[0][1]} | {' | '.join(f'{s:.3f}' for s, _ in shares)} |")
    times = [1000 * sum(s[name].cpu_s for s in scores) / len(scores) for name in extractors]
    lines.append(f"| CPU ms a page | {len(scores)} | {' | '.join(f'{t:.0f}' for t in times)} |")
    return "\n".join(lines)


def _share(counts: list[tuple[int, int]]) -> tuple[float, int]:
    """Return the mean over the pages that have any, and how many of them there are."""
    shares = [kept / count for kept, count in counts if count]
    return sum(shares) / max(1, len(shares)), sum(count for _, count in counts)


def main() -> None:
    """Read all pages with each extractor and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder with html/ and ground-truth/")
    parser.add_argument("--every", type=int, default=1, help="take only each N-th page")
    parser.add_argument("--processes", type=int, default=2)
    wanted = parser.parse_args()
    with Pool(wanted.processes) as pool:
        scores = pool.map(score, list(pages(wanted.data))[:: wanted.every], 4)
        own = pool.map(score, list(eastern()), 4)
    print(report(scores))
    print("\nChinese and Japanese pages of our own, by pairs of letters:\n")
    print(report(own))


if __name__ == "__main__":
    main()
