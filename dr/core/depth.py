"""How deep each node of a graph lies, and which dependencies say nothing that others do not say already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from dr.core.model import Edge

Pair = tuple[int, int]


def depths(node_count: int, edges: Iterable[Edge], cuts: Collection[Edge]) -> tuple[int, ...]:
    """Return each node's depth: the number of edges on the longest path to it from a node that needs nothing.

    `edges` without `cuts` are walked (Kahn, 1962). Raises ValueError if they have a cycle.
    """
    return pair_depths(node_count, {(edge.before, edge.after) for edge in edges if edge not in cuts})


def pair_depths(node_count: int, pairs: Collection[Pair]) -> tuple[int, ...]:
    """Return the depths as `depths` does, of bare (before, after) pairs. Raises ValueError on a cycle."""
    following: dict[int, list[int]] = defaultdict(list)
    pending = [0] * node_count
    for before, after in pairs:
        following[before].append(after)
        pending[after] += 1
    depth = [0] * node_count
    ready = [node for node in range(node_count) if not pending[node]]
    for node in ready:
        for after in following.get(node, ()):
            depth[after] = max(depth[after], depth[node] + 1)
            pending[after] -= 1
            if not pending[after]:
                ready.append(after)
    if len(ready) < node_count:
        raise ValueError(f"{node_count - len(ready)} of {node_count} nodes lie on a cycle or behind one")
    return tuple(depth)


def forward(pairs: Collection[Pair], rank: Sequence[float]) -> frozenset[Pair]:
    """Return the pairs without those that close a cycle by going against `rank` (ties: by index).

    Objects have an order, but the units they are summed up in may need each other all the same.
    """
    import networkx as nx  # noqa: PLC0415 - 0.2 s of import that only a drawing pays

    graph: nx.DiGraph[int] = nx.DiGraph(sorted(pairs))
    component = {node: i for i, members in enumerate(nx.strongly_connected_components(graph)) for node in members}
    return frozenset((a, b) for a, b in pairs if component[a] != component[b] or (rank[a], a) < (rank[b], b))


def implied(node_count: int, force: Mapping[Pair, int]) -> frozenset[Pair]:
    """Return the pairs that a longer path of at least their own force implies: a transitive reduction leaves them out.

    `force` has every pair of an acyclic graph with its force, greater is stronger. Takes memory of
    node_count² bits. Raises ValueError on a cycle.
    """
    order = sorted(range(node_count), key=pair_depths(node_count, force).__getitem__, reverse=True)
    found: set[Pair] = set()
    for least in sorted(set(force.values())):
        following: dict[int, list[int]] = defaultdict(list)
        for (before, after), strength in force.items():
            if strength >= least:
                following[before].append(after)
        beyond = [0] * node_count  # beyond[n]: a bit for each node that can be reached from n
        for node in order:
            ends = following.get(node, ())
            indirect = 0
            for after in ends:
                indirect |= beyond[after]
            found.update((node, after) for after in ends if force[node, after] == least and indirect >> after & 1)
            beyond[node] = indirect
            for after in ends:
                beyond[node] |= 1 << after
    return frozenset(found)
