from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from manager.router import choose_node


@dataclass(frozen=True)
class Node:
    id: str
    load: int = 0


def busy(node: Node) -> int:
    return node.load


def picks(*numbers: int) -> Callable[[int], int]:
    """Return a source of chance that gives these numbers."""
    rest = list(numbers)
    return lambda count: rest.pop(0)


def test_without_a_candidate_no_node_is_chosen() -> None:
    assert choose_node([], None, busy, picks()) is None


def test_a_single_candidate_is_chosen_without_drawing() -> None:
    assert choose_node([Node("a", 99)], None, busy, picks()) == Node("a", 99)


def test_the_less_busy_of_the_two_drawn_is_chosen() -> None:
    nodes = [Node("a", 5), Node("b", 1), Node("c", 0)]
    assert choose_node(nodes, None, busy, picks(0, 0)) == Node("b", 1)
    assert choose_node(nodes, None, busy, picks(2, 1)) == Node("c", 0)


def test_the_two_drawn_are_never_the_same_node() -> None:
    nodes = [Node("a", 1), Node("b", 0)]
    for first in range(2):
        assert choose_node(nodes, None, busy, picks(first, 0)) == Node("b", 0)


def test_equally_busy_nodes_share_the_calls() -> None:
    nodes = [Node("a"), Node("b"), Node("c")]
    chance = Random(1)
    chosen = Counter(choose_node(nodes, None, busy, chance.randrange) for _ in range(3000))
    assert min(chosen.values()) > 900


def test_a_handle_decides_however_busy_its_node_is() -> None:
    nodes = [Node("a", 0), Node("b", 99)]
    assert choose_node(nodes, "b", busy, picks()) == Node("b", 99)


def test_a_handle_of_a_node_that_is_no_candidate_chooses_none() -> None:
    assert choose_node([Node("a"), Node("b")], "c", busy, picks()) is None


def test_an_owners_calls_all_reach_one_node_in_whatever_order_the_nodes_are_known() -> None:
    nodes = [Node("a"), Node("b", 99), Node("c")]
    for number in range(50):
        chosen = {
            choose_node(order, None, busy, picks(), f"alice/{number}")
            for order in (nodes, nodes[::-1], [nodes[1], nodes[2], nodes[0]])
        }
        assert len(chosen) == 1


def test_an_owner_stays_at_home_while_that_is_there() -> None:
    nodes = [Node("a"), Node("b", 99), Node("c")]
    for number in range(20):
        owner = f"alice/{number}"
        assert choose_node(nodes, None, busy, picks(), owner, home="b") == nodes[1]
        first = choose_node(nodes, None, busy, picks(), owner)
        assert choose_node(nodes, None, busy, picks(), owner, home="gone") == first


def test_owners_are_spread_over_the_nodes() -> None:
    nodes = [Node("a"), Node("b"), Node("c")]
    chosen = Counter(choose_node(nodes, None, busy, picks(), f"k/{n}") for n in range(3000))
    assert min(chosen.values()) > 900


def test_a_node_that_goes_moves_only_its_own_owners() -> None:
    nodes = [Node("a"), Node("b"), Node("c")]
    for number in range(200):
        before = choose_node(nodes, None, busy, picks(), f"k/{number}")
        after = choose_node(nodes[:2], None, busy, picks(), f"k/{number}")
        assert before == Node("c") or before == after


def test_an_owner_without_a_candidate_gets_none() -> None:
    assert choose_node([], None, busy, picks(), "alice") is None


def test_a_handle_comes_before_the_owner() -> None:
    nodes = [Node("a"), Node("b")]
    for name in ("a", "b"):
        assert choose_node(nodes, name, busy, picks(), "alice") == Node(name)


def test_nodes_that_have_what_is_preferred_come_first_however_busy() -> None:
    nodes = [Node("a"), Node("b", 99), Node("c", 98)]
    chance = Random(1)
    for _ in range(50):
        chosen = choose_node(nodes, None, busy, chance.randrange, None, lambda n: n.load > 0)
        assert chosen == Node("c", 98)


def test_without_a_node_that_has_what_is_preferred_any_other_is_chosen() -> None:
    nodes = [Node("a", 5), Node("b", 1)]
    assert choose_node(nodes, None, busy, picks(0, 0), None, lambda n: False) == Node("b", 1)


def test_an_owners_node_is_one_that_has_what_is_preferred() -> None:
    nodes = [Node("a"), Node("b", 1), Node("c")]
    chosen = {
        choose_node(nodes, None, busy, picks(), f"k/{n}", lambda n: n.load == 1) for n in range(20)
    }
    assert chosen == {Node("b", 1)}


def test_a_handle_decides_whatever_is_preferred() -> None:
    nodes = [Node("a"), Node("b", 1)]
    assert choose_node(nodes, "a", busy, picks(), None, lambda n: n.load == 1) == Node("a")
