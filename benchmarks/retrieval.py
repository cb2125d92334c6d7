"""Whether the passage with the answer survives, against the tokens that are sent of a long page.

Run `python -m benchmarks.retrieval FOLDER [questions]`, where FOLDER holds `ground-truth/*.json`
of the WCXB set. Long pages of about 39k tokens are strung together from its texts. Each question is
made from a sentence: half of its words, at random and without its longest, which is the answer.
Cutting the head, as many tools do, is measured beside it.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.web.extracting.budget import tokens
from mcp_servers.web.extracting.chunks import chunks
from mcp_servers.web.extracting.selection import Selector
from mcp_servers.web.extracting.words import STOP

BUDGETS = (500, 1000, 2000, 4000, 7000)
PAGE_TOKENS = 39_000
A_PAGE = 60
SEED = 20_261_126
_SENTENCE = re.compile(r"[A-Z][^.!?\n]{80,240}[.!?]")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]+|\d[\d.,]*\d")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for, and the sentence that answers it."""

    info: str
    sentence: str


def main() -> None:
    """Measure and print a table."""
    folder, *rest = sys.argv[1:]
    wanted = int(rest[0]) if rest else 600
    draw = random.Random(SEED)
    kept = dict.fromkeys(BUDGETS, 0)
    head = dict.fromkeys(BUDGETS, 0)
    asked, seconds = 0, 0.0
    for page in pages(Path(folder), draw):
        for question in questions(page, draw)[: min(A_PAGE, wanted - asked)]:
            asked += 1
            began = time.process_time()
            selector = Selector(chunks(page), question.info)
            shown = {budget: text(selector, budget) for budget in BUDGETS}
            seconds += time.process_time() - began
            for budget in BUDGETS:
                kept[budget] += flat(question.sentence) in flat(shown[budget])
                head[budget] += flat(question.sentence) in flat(page[: cut(page, budget)])
        if asked >= wanted:
            break
    print(
        f"{asked} questions on pages of {PAGE_TOKENS} tokens; {seconds / asked * 1000:.0f} ms CPU"
    )
    print("tokens   passages   head of the page")
    for budget in BUDGETS:
        print(f"{budget:6}   {kept[budget] / asked:8.1%}   {head[budget] / asked:8.1%}")


def pages(folder: Path, draw: random.Random) -> Iterator[str]:
    """Yield long pages, each made of several texts under headings."""
    paths = sorted((folder / "ground-truth").glob("*.json"))
    draw.shuffle(paths)
    parts: list[str] = []
    size = 0
    for path in paths:
        truth = json.loads(path.read_text())["ground_truth"]
        part = f"# {truth.get('title') or path.stem}\n\n{truth['main_content']}"
        cost = tokens(part)
        if cost > PAGE_TOKENS // 4:
            continue
        parts.append(part)
        size += cost
        if size >= PAGE_TOKENS:
            yield "\n\n".join(parts)
            parts, size = [], 0


def questions(page: str, draw: random.Random) -> list[Question]:
    """Return questions to sentences anywhere in the page."""
    sentences = [match[0] for match in _SENTENCE.finditer(page) if page.count(match[0]) == 1]
    draw.shuffle(sentences)
    found = []
    for sentence in sentences:
        content = [w for w in _WORD.findall(sentence) if w.lower() not in STOP and len(w) > 2]
        if len(content) >= 8:
            answer = max(content, key=len)
            clues = [word for word in dict.fromkeys(content) if word != answer]
            found.append(Question(" ".join(draw.sample(clues, len(clues) // 2)), sentence))
    return found


def text(selector: Selector, budget: int) -> str:
    """Return what is shown within a budget."""
    return "\n".join(chunk.text for chunk in selector.select(budget).passages)


def cut(page: str, budget: int) -> int:
    """Return how many characters of the page's head cost about `budget` tokens."""
    return int(len(page) * budget / tokens(page))


def flat(text: str) -> str:
    """Return a text with single spaces."""
    return " ".join(text.split())


if __name__ == "__main__":
    main()
