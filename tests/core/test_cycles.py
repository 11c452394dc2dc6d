"""Every cycle is found, the cut is as small as can be, and what is left has an order."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from dr.core.cycles import resolve
from dr.core.model import Basis, Edge, Strength, Where

SIZE = 7
PAIRS = st.sets(
    st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1), st.booleans()).filter(lambda t: t[0] != t[1]),
    max_size=14,
)


def _edge(before: int, after: int, *, soft: bool, basis: Basis = Basis.REFERENCE) -> Edge:
    return Edge(before, after, Strength.SOFT if soft else Strength.EXISTS, basis, "r", "because", Where("f", 1))


def _acyclic(count: int, pairs: set[tuple[int, int]]) -> bool:
    left = set(range(count))
    while free := {n for n in left if not any(a in left and b == n for a, b in pairs)}:
        left -= free
    return not left


def _pairs(edges: frozenset[Edge] | list[Edge]) -> set[tuple[int, int]]:
    return {(e.before, e.after) for e in edges}


@given(PAIRS)
def test_what_is_left_after_the_cut_always_has_an_order(drawn: set[tuple[int, int, bool]]) -> None:
    edges = [_edge(a, b, soft=s) for a, b, s in sorted(drawn)]
    _, cuts = resolve(SIZE, edges)
    assert _acyclic(SIZE, _pairs([e for e in edges if e not in cuts]))


@given(PAIRS)
@settings(max_examples=60)
def test_no_smaller_cut_of_soft_edges_exists(drawn: set[tuple[int, int, bool]]) -> None:
    edges = [_edge(a, b, soft=s) for a, b, s in sorted(drawn)]
    cycles, cuts = resolve(SIZE, edges)
    if any(cycle.deadlock for cycle in cycles):
        return
    hard = {(e.before, e.after) for e in edges if e.strength is not Strength.SOFT}
    soft = sorted(_pairs(edges) - hard)
    cut = _pairs(cuts)
    assert not cut & hard
    if len(cut) <= 3:
        smaller = (set(choice) for size in range(len(cut)) for choice in combinations(soft, size))
        assert not any(_acyclic(SIZE, _pairs(edges) - choice) for choice in smaller)


@given(PAIRS)
def test_a_deadlock_is_reported_exactly_when_hard_edges_alone_form_a_cycle(drawn: set[tuple[int, int, bool]]) -> None:
    edges = [_edge(a, b, soft=s) for a, b, s in sorted(drawn)]
    cycles, _ = resolve(SIZE, edges)
    hard = {(e.before, e.after) for e in edges if e.strength is not Strength.SOFT}
    assert any(c.deadlock for c in cycles) == (not _acyclic(SIZE, hard))


@given(PAIRS, st.randoms())
def test_the_order_of_the_input_changes_nothing(drawn: set[tuple[int, int, bool]], random: object) -> None:
    edges = [_edge(a, b, soft=s) for a, b, s in sorted(drawn)]
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert resolve(SIZE, edges) == resolve(SIZE, shuffled)


def test_a_declared_edge_outranks_an_inferred_one_in_a_deadlock() -> None:
    declared, inferred = _edge(0, 1, soft=False, basis=Basis.DECLARED), _edge(1, 0, soft=False, basis=Basis.INFERRED)
    cycles, cuts = resolve(2, [declared, inferred])
    assert cuts == {inferred}
    assert [c.deadlock for c in cycles] == [True]


def test_one_edge_shared_by_many_cycles_is_the_only_one_cut() -> None:
    edges = [
        _edge(0, 1, soft=True),
        *(_edge(1, n, soft=True) for n in range(2, 6)),
        *(_edge(n, 0, soft=True) for n in range(2, 6)),
    ]
    _, cuts = resolve(6, edges)
    assert _pairs(cuts) == {(0, 1)}


def test_a_large_knot_of_soft_edges_is_cut_in_time_and_said_to_be_unproven() -> None:
    count = 40
    edges = [_edge(a, b, soft=True) for a in range(count) for b in range(count) if a != b and (a * 7 + b * 3) % 4 == 0]
    cycles, cuts = resolve(count, edges)
    assert _acyclic(count, _pairs([e for e in edges if e not in cuts]))
    assert not all(c.proven for c in cycles)
