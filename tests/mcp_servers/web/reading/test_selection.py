"""Which blocks are kept, and the trees that say how likely each is."""

from __future__ import annotations

from itertools import product

import numpy as np

from mcp_servers.web.reading.dom import leaves, parse
from mcp_servers.web.reading.forest import Forest, load
from mcp_servers.web.reading.selection import WEIGHTS, best_set, choose


def test_a_tree_is_followed_to_its_leaf() -> None:
    # One question, x[1] <= 2, whose answers are -1 and 3; and a tree that always says 0.5.
    forest = Forest(
        0.5,
        np.array([0, 3], np.int32),
        np.array([1, 0, 0, 0], np.int32),
        np.array([2.0, 0, 0, 0]),
        np.array([1, 1, 2, 3], np.int32),
        np.array([2, 1, 2, 3], np.int32),
        np.array([0, -1, 3, 0.5]),
    )
    found = forest.probabilities(np.array([[9, 2], [9, 2.5]], np.float32))
    assert np.allclose(found, 1 / (1 + np.exp([0.0, -4.0])))


def test_the_kept_blocks_have_the_highest_f1_that_can_be_expected() -> None:
    likely = np.array([0.9, 0.2, 0.6, 0.45, 0.05])
    sizes = np.array([30.0, 5, 10, 40, 100])

    def expected(kept: tuple[bool, ...]) -> float:
        chosen = np.array(kept)
        return float(
            2 * (likely * sizes)[chosen].sum() / (sizes[chosen].sum() + (likely * sizes).sum())
        )

    best = max(product((True, False), repeat=5), key=expected)
    assert best_set(likely, sizes).tolist() == list(best)


def test_the_kept_trees_fit_together() -> None:
    forest = load(WEIGHTS)
    nodes = len(forest.feature)
    assert {len(forest.left), len(forest.right), len(forest.value), len(forest.threshold)} == {
        nodes
    }
    assert int(max(forest.left.max(), forest.right.max())) < nodes
    inner = forest.left != np.arange(nodes)
    assert (forest.left[inner] > np.arange(nodes)[inner]).all()
    assert (forest.right[inner] > np.arange(nodes)[inner]).all()


# One question: whether the block is a paragraph; it takes nothing else for content.
PARAGRAPHS = Forest(
    0.0,
    np.array([0], np.int32),
    np.array([11, 0, 0], np.int32),
    np.array([0.5, 0, 0]),
    np.array([1, 1, 2], np.int32),
    np.array([2, 1, 2], np.int32),
    np.array([0, -3.0, 3.0]),
)


def kept_cells(rows: str) -> int:
    paragraph = "<p>Words about the thing that is sold here, and many more of them.</p>"
    root = parse(f"<body>{paragraph * 5}<div>Ad</div><table>{rows}</table><form>x</form></body>")
    assert root is not None
    return sum(block.tag == "td" for block in choose(leaves(root), "", "", PARAGRAPHS))


def test_a_table_of_names_and_values_is_likely_whatever_the_trees_make_of_its_cells() -> None:
    keyed = "".join(f"<tr><td>Length {i}</td><td>{i} metres</td></tr>" for i in range(4))
    assert kept_cells(keyed) == 8
    # Two rows are too few to tell.
    assert kept_cells("<tr><td>Length</td><td>4 metres</td></tr>" * 2) == 0
