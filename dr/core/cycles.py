"""Finds dependency cycles and the smallest set of soft edges whose cut leaves an order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

from dr.core.model import Basis, Cycle, Edge, Strength

Pair = tuple[int, int]
# Beyond this many cycles the cut is chosen greedily, and said to be unproven.
MAX_CYCLES = 60
_GIVES_WAY = {Basis.INFERRED: 0, Basis.REFERENCE: 1, Basis.DECLARED: 2}


def resolve(count: int, edges: Sequence[Edge]) -> tuple[tuple[Cycle, ...], frozenset[Edge]]:
    """Find every cycle that matters and what to cut.

    Returns the cycles found, and the edges to leave out so that the rest is acyclic. Only soft
    edges are cut, fewest first (a minimum hitting set over the cycles, exact up to `MAX_CYCLES`);
    a cycle without soft edges is a deadlock, and one of its edges, inferred before declared, is
    left out all the same so that everything else still has an order.
    """
    between: dict[Pair, list[Edge]] = defaultdict(list)
    for edge in sorted(_on_cycles(count, edges)):
        between[edge.before, edge.after].append(edge)
    cycles: list[Cycle] = []
    cuts: list[Edge] = []
    for pairs in _components(between):
        hard = {pair for pair in pairs if any(e.strength is not Strength.SOFT for e in between[pair])}
        while walk := _shortest_cycle(hard):
            cycles.append(Cycle(tuple(between[pair][0] for pair in walk), (), deadlock=True))
            weakest = min(walk, key=lambda pair: (min(_GIVES_WAY[e.basis] for e in between[pair]), pair))
            hard.discard(weakest)
            pairs.discard(weakest)
            cuts.extend(between[weakest])
        chosen, walks, proven = _smallest_cut(pairs, hard)
        for walk in walks:
            cut = tuple(e for pair in walk if pair in chosen for e in between[pair])
            cycles.append(Cycle(tuple(between[pair][0] for pair in walk), cut, deadlock=False, proven=proven))
        cuts.extend(e for pair in chosen for e in between[pair])
    return tuple(cycles), frozenset(cuts)


def _on_cycles(count: int, edges: Sequence[Edge]) -> list[Edge]:
    """Drop, from both ends, every edge that no cycle can use."""
    for reverse in (False, True):
        pending = [0] * count
        following: dict[int, list[int]] = defaultdict(list)
        for edge in edges:
            start, end = (edge.after, edge.before) if reverse else (edge.before, edge.after)
            pending[end] += 1
            following[start].append(end)
        ready = [node for node in range(count) if not pending[node]]
        while ready:
            for end in following.get(ready.pop(), ()):
                pending[end] -= 1
                if not pending[end]:
                    ready.append(end)
        edges = [e for e in edges if pending[e.before] and pending[e.after]]
    return list(edges)


def _components(between: Iterable[Pair]) -> Iterator[set[Pair]]:
    """Yield the pairs of each strongly connected component, components in order of their smallest node."""
    pairs = sorted(between)
    if not pairs:
        return
    import networkx as nx  # noqa: PLC0415 - 0.2 s of import that only repos with cycles pay

    graph: nx.DiGraph[int] = nx.DiGraph(pairs)
    for component in sorted(nx.strongly_connected_components(graph), key=min):
        inside = {pair for pair in pairs if pair[0] in component and pair[1] in component}
        if inside:
            yield inside


def _shortest_cycle(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return a cycle of the fewest pairs, () if there is none; the same one each time."""
    following: dict[int, list[int]] = defaultdict(list)
    for start, end in sorted(pairs):
        following[start].append(end)
    best: tuple[Pair, ...] = ()
    for root in sorted(following):
        walk = _cycle_through(root, following, len(best) or len(following) + 1)
        if walk and (not best or len(walk) < len(best)):
            best = walk
        if len(best) in (1, 2):
            break
    return best


def _cycle_through(root: int, following: dict[int, list[int]], limit: int) -> tuple[Pair, ...]:
    came: dict[int, int] = {}
    queue = deque([(root, 0)])
    while queue:
        node, length = queue.popleft()
        if length >= limit:
            return ()
        for end in following.get(node, ()):
            if end == root:
                walk = [(node, root)]
                while node != root:
                    walk.append((came[node], node))
                    node = came[node]
                return tuple(reversed(walk))
            if end not in came:
                came[end] = node
                queue.append((end, length + 1))
    return ()


def _smallest_cut(pairs: set[Pair], hard: set[Pair]) -> tuple[frozenset[Pair], list[tuple[Pair, ...]], bool]:
    """Return the pairs to cut, the cycles that show why, and whether no smaller cut exists.

    Cycles are added one at a time to the constraints; a minimum cut of the constraints that leaves
    no cycle at all is a minimum cut of everything.
    """
    walks: list[tuple[Pair, ...]] = []
    constraints: list[frozenset[Pair]] = []
    chosen: frozenset[Pair] = frozenset()
    while walk := _shortest_cycle(pairs - chosen):
        walks.append(walk)
        constraints.append(frozenset(walk) - hard)
        chosen = _hitting_set(constraints) if len(walks) <= MAX_CYCLES else chosen | {min(constraints[-1])}
    return chosen, walks, len(walks) <= MAX_CYCLES


def _hitting_set(constraints: Sequence[frozenset[Pair]]) -> frozenset[Pair]:
    """Return a smallest set that meets every constraint; the first in order among equals."""
    for size in range(len(constraints) + 1):
        found = _hit(constraints, frozenset(), size)
        if found is not None:
            return found
    return frozenset()


def _hit(constraints: Sequence[frozenset[Pair]], chosen: frozenset[Pair], size: int) -> frozenset[Pair] | None:
    unmet = [constraint for constraint in constraints if not constraint & chosen]
    if not unmet:
        return chosen
    disjoint: set[Pair] = set()
    needed = 0
    for constraint in sorted(unmet, key=_short_first):
        if not constraint & disjoint:
            disjoint |= constraint
            needed += 1
    if needed > size:
        return None
    shortest: frozenset[Pair] = min(unmet, key=_short_first)
    for pair in sorted(shortest):
        found = _hit(unmet, chosen | {pair}, size - 1)
        if found is not None:
            return found
    return None


def _short_first(constraint: frozenset[Pair]) -> tuple[int, list[Pair]]:
    return len(constraint), sorted(constraint)
