"""Grows the trees by which `mcp_servers/web/reading/selection.py` weighs the blocks of a page.

`python -m benchmarks.train DATA` prints what pages of other sites than those trained on get (five
folds, no site in two of them), read just as they are read in use; with `--write` it first grows the
trees on all pages and keeps them. It needs scikit-learn, which nothing else does:
`.venv/bin/python -m pip install scikit-learn`.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from benchmarks.extraction import Score, judged, report
from benchmarks.labelled import Labelled, pages
from benchmarks.truth import labels
from mcp_servers.web.reading import hypertext, selection
from mcp_servers.web.reading.charset import decode
from mcp_servers.web.reading.features import matrix
from mcp_servers.web.reading.forest import loads

FOLDS = 5
MOST_WORDS = 150
"""Words of a block that count for its weight in training."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The blocks of one page: measures, words in each, and whether each is main content."""

    page: Labelled
    rows: NDArray[np.float32]
    sizes: NDArray[np.float64]
    right: NDArray[np.bool_]

    @property
    def site(self) -> str:
        """Whose page it is, as far as its address tells."""
        return ".".join(urlsplit(self.page.url).netloc.split(".")[-2:]) or self.page.name


def sample(page: Labelled) -> Sample | None:
    """Return a page's blocks as they are measured when it is read; None if it has none."""
    logging.disable(logging.CRITICAL)
    source = decode(page.body, page.header)
    found = hypertext.prepare(source, page.url)
    if found is None or not found.blocks:
        return None
    texts = [block.text_content() for block in found.blocks]
    return Sample(
        page,
        matrix(found.blocks, found.suggested, source),
        np.array([selection.words(block) for block in found.blocks], np.float64),
        np.array(labels(texts, page.truth)) >= 0.5,
    )


def grown(samples: list[Sample]) -> str:
    """Return trees as `forest.loads` takes them; each page has about the same say in them."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    weights = []
    for each in samples:
        capped = np.minimum(each.sizes + 0.5, MOST_WORDS)
        weights.append(capped / (capped.sum() + 100) ** 0.8)
    weight = np.concatenate(weights)
    classifier = HistGradientBoostingClassifier(
        max_iter=110, learning_rate=0.08, max_leaf_nodes=15, min_samples_leaf=40,
        l2_regularization=5.0, max_features=0.3, random_state=0, early_stopping=False,
    )  # fmt: skip
    rows = np.concatenate([each.rows for each in samples])
    right = np.concatenate([each.right for each in samples])
    return written(classifier.fit(rows, right, sample_weight=weight / weight.mean()))


def cross_validated(
    samples: list[Sample], rest: list[Labelled], pool: Any
) -> list[dict[str, Score]]:
    """Return the score of each page, read with trees that never saw its site.

    Args:
        samples: The pages that have blocks.
        rest: Those that have none.
        pool: Processes that read pages.
    """
    from sklearn.model_selection import GroupKFold

    found: list[dict[str, Score]] = []
    folds = GroupKFold(FOLDS, shuffle=True, random_state=1)
    for known, unknown in folds.split(samples, groups=[each.site for each in samples]):
        trees = grown([samples[i] for i in known])
        unseen = [samples[i].page for i in unknown]
        found += pool.map(partial(unseen_score, trees), unseen + rest, 4)
        rest = []
    return found


def unseen_score(trees: str, page: Labelled) -> dict[str, Score]:
    """Return the score of a page that these trees read."""
    logging.disable(logging.CRITICAL)
    forest = loads(trees)

    def by_them(page: Labelled) -> str:
        return hypertext.read(decode(page.body, page.header), page.url, forest).markdown

    return {"ours, unseen": judged(page, by_them)}


def written(classifier: Any) -> str:
    """Return the trees as `mcp_servers/web/reading/forest.py` loads them."""
    names = ("roots", "feature", "threshold", "left", "right", "value")
    found: dict[str, Any] = {name: [] for name in names}
    for [tree] in classifier._predictors:
        first = len(found["feature"])
        found["roots"].append(first)
        for number, node in enumerate(tree.nodes, first):
            leaf = bool(node["is_leaf"])
            found["feature"].append(0 if leaf else int(node["feature_idx"]))
            found["threshold"].append(0.0 if leaf else float(f"{node['num_threshold']:.7g}"))
            found["left"].append(number if leaf else first + int(node["left"]))
            found["right"].append(number if leaf else first + int(node["right"]))
            found["value"].append(round(float(node["value"]), 5) if leaf else 0.0)
    bias = round(float(classifier._baseline_prediction.ravel()[0]), 6)
    return json.dumps({"bias": bias, **found}, separators=(",", ":"))


def main() -> None:
    """Grow and keep if that is wanted, and validate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder with html/ and ground-truth/")
    parser.add_argument("--write", action="store_true", help="grow on all pages and keep the trees")
    parser.add_argument("--processes", type=int, default=2)
    wanted = parser.parse_args()
    with Pool(wanted.processes) as pool:
        every = list(pages(wanted.data))
        found = pool.map(sample, every, 4)
        samples = [each for each in found if each is not None]
        if wanted.write:
            selection.WEIGHTS.write_text(grown(samples) + "\n")
        rest = [page for page, each in zip(every, found, strict=True) if each is None]
        print(report(cross_validated(samples, rest, pool)))


if __name__ == "__main__":
    main()
