"""Grows the trees by which `mcp_servers/web/reading/selection.py` weighs the blocks of a page.

`python -m benchmarks.train DATA` prints what pages of other sites than those trained on get (five
folds, no site in two of them); with `--write` it grows the trees on all pages and keeps them. It
needs scikit-learn, which nothing else does: `.venv/bin/python -m pip install scikit-learn`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from benchmarks.labelled import f1, pages
from benchmarks.truth import labels
from mcp_servers.web.reading import code, formulas, selection
from mcp_servers.web.reading.charset import decode
from mcp_servers.web.reading.dom import drop_hidden, leaves, parse, unveil
from mcp_servers.web.reading.features import matrix

FOLDS = 5
MOST_WORDS = 150
"""Words of a block that count for its weight in training."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The blocks of one page: measures, texts, words in each, and whether each is main content."""

    page_type: str
    site: str
    truth: str
    texts: list[str]
    rows: NDArray[np.float32]
    sizes: NDArray[np.float64]
    right: NDArray[np.bool_]


def sample(page: Any) -> Sample | None:
    """Return a page's blocks as they are measured when it is read; None if it has none."""
    source = decode(page.body, None)
    root = parse(source)
    if root is None:
        return None
    unveil(root)
    formulas.gather(root)
    suggested = selection.suggest(root, page.url)
    drop_hidden(root)
    code.gather(root)
    blocks = leaves(root)
    if not blocks:
        return None
    texts = [block.text_content() for block in blocks]
    return Sample(
        page.page_type,
        ".".join(urlsplit(page.url).netloc.split(".")[-2:]) or page.name,
        page.truth,
        texts,
        matrix(blocks, suggested, source),
        np.array([len(text.split()) for text in texts], np.float64),
        np.array(labels(texts, page.truth)) >= 0.5,
    )


def grown(samples: list[Sample]) -> Any:
    """Return a classifier; each page has about the same say, whatever its length."""
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
    return classifier.fit(rows, right, sample_weight=weight / weight.mean())


def cross_validated(samples: list[Sample]) -> dict[str, list[float]]:
    """Return the F1 of each page by page type, each judged by trees that never saw its site."""
    from sklearn.model_selection import GroupKFold

    found: dict[str, list[float]] = defaultdict(list)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=1)
    for known, unknown in folds.split(samples, groups=[each.site for each in samples]):
        classifier = grown([samples[i] for i in known])
        for i in unknown:
            each = samples[i]
            likely = classifier.predict_proba(each.rows)[:, 1]
            kept = selection.best_set(likely, each.sizes)
            text = "\n".join(t for t, keep in zip(each.texts, kept, strict=True) if keep)
            score = f1(text, each.truth)
            found[each.page_type].append(score)
            found["all"].append(score)
    return found


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
    """Validate, or grow and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder with html/ and ground-truth/")
    parser.add_argument("--write", action="store_true", help="grow on all pages and keep the trees")
    wanted = parser.parse_args()
    samples = [each for page in pages(wanted.data) if (each := sample(page)) is not None]
    if wanted.write:
        selection.WEIGHTS.write_text(written(grown(samples)))
        return
    for page_type, scores in sorted(cross_validated(samples).items()):
        print(f"{page_type:14} {len(scores):4} {sum(scores) / len(scores):.3f}")


if __name__ == "__main__":
    main()
