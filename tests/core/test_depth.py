from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.depth import depths, forward, implied, pair_depths
from dr.core.model import Basis, Edge, Strength, Where

COUNT = 9
PAIRS = st.frozensets(st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)).filter(lambda p: p[0] < p[1]))


def _edge(before: int, after: int) -> Edge:
    return Edge(before, after, Strength.SOFT, Basis.REFERENCE, "rule", "reason", Where("a.yaml", 1))


def test_depth_is_the_longest_way_not_the_shortest() -> None:
    assert depths(4, [_edge(0, 1), _edge(1, 2), _edge(0, 2), _edge(2, 3)], ()) == (0, 1, 2, 3)


def test_nodes_without_edges_stand_at_the_start() -> None:
    assert depths(3, [], ()) == (0, 0, 0)
    assert depths(0, [], ()) == ()


def test_a_cut_edge_does_not_count() -> None:
    edges = [_edge(0, 1), _edge(1, 0)]
    assert depths(2, edges, frozenset(edges[1:])) == (0, 1)


def test_a_cycle_that_was_not_cut_is_an_error_and_not_a_wrong_drawing() -> None:
    with pytest.raises(ValueError, match="2 of 3 nodes"):
        depths(3, [_edge(0, 1), _edge(1, 0)], ())


def test_a_chain_of_a_hundred_thousand_does_not_overflow_the_stack() -> None:
    count = 100_000
    assert pair_depths(count, [(i, i + 1) for i in range(count - 1)])[-1] == count - 1


@given(PAIRS)
def test_every_edge_leads_to_a_greater_depth(pairs: frozenset[tuple[int, int]]) -> None:
    depth = pair_depths(COUNT, pairs)
    assert all(depth[a] < depth[b] for a, b in pairs)
    assert all(d == 0 or any(depth[a] == d - 1 for a, b in pairs if b == n) for n, d in enumerate(depth))


@given(PAIRS)
def test_what_is_left_out_is_just_what_a_transitive_reduction_leaves_out(pairs: frozenset[tuple[int, int]]) -> None:
    graph: nx.DiGraph[int] = nx.DiGraph(sorted(pairs))
    assert pairs - implied(COUNT, dict.fromkeys(pairs, 0)) == set(nx.transitive_reduction(graph).edges)


def test_a_strong_edge_is_not_implied_by_a_weak_way() -> None:
    assert implied(3, {(0, 1): 0, (1, 2): 2, (0, 2): 2}) == frozenset()
    assert implied(3, {(0, 1): 2, (1, 2): 2, (0, 2): 0}) == {(0, 2)}


@given(
    st.frozensets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda p: p[0] != p[1])),
    st.lists(st.integers(0, 3), min_size=7, max_size=7),
)
def test_units_that_need_each_other_still_get_a_depth(pairs: frozenset[tuple[int, int]], rank: list[float]) -> None:
    kept = forward(pairs, rank)
    assert len(pair_depths(7, kept)) == 7
    if nx.is_directed_acyclic_graph(nx.DiGraph(sorted(pairs))):
        assert kept == pairs
