"""Boosted decision trees, evaluated; `benchmarks/train.py` grows them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose answers are added up. All nodes are in one list; a leaf leads to itself.

    Args:
        bias: What is added to the answers.
        roots: The first node of each tree.
        feature: Which column a node asks for.
        threshold: Up to which value the way goes left.
        left: The node on the left.
        right: The node on the right.
        value: A leaf's answer.
    """

    bias: float
    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]

    def probabilities(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a probability for each row."""
        nodes = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        numbers = np.arange(len(rows))[:, None]
        while True:
            goes_left = rows[numbers, self.feature[nodes]] <= self.threshold[nodes]
            following = np.where(goes_left, self.left[nodes], self.right[nodes])
            if (following == nodes).all():
                break
            nodes = following
        answers = self.value[nodes].sum(axis=1) + self.bias
        return np.asarray(1 / (1 + np.exp(-answers)), dtype=np.float64)


def load(path: Path) -> Forest:
    """Return the forest in a file that `benchmarks/train.py` wrote."""
    return loads(path.read_text())


def loads(text: str) -> Forest:
    """Return the forest that `benchmarks/train.py` wrote."""
    found = json.loads(text)
    roots, feature, left, right = (
        np.array(found[name], np.int32) for name in ("roots", "feature", "left", "right")
    )
    threshold, value = (np.array(found[name], np.float64) for name in ("threshold", "value"))
    return Forest(found["bias"], roots, feature, threshold, left, right, value)
