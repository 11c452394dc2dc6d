"""Questions to the graph: which object is meant, why one needs another, what stops when one is lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from dr.core.errors import NotFound
from dr.core.model import Edge, Graph, Strength

_CANDIDATES = 8


class Adjacency:
    """The edges of a graph by node, cuts included where asked for."""

    def __init__(self, graph: Graph, *, cuts: bool = False) -> None:
        self.into: dict[int, list[Edge]] = defaultdict(list)
        self.out: dict[int, list[Edge]] = defaultdict(list)
        for edge in graph.edges:
            if cuts or edge not in graph.cuts:
                self.into[edge.after].append(edge)
                self.out[edge.before].append(edge)


def find(graph: Graph, name: str) -> tuple[int, ...]:
    """Return the nodes that a person means by `name`.

    Accepted, in this order: a unit's name (all its objects), `Kind/namespace/name`, `Kind/name`,
    `namespace/name` and `name`; the kind in any case, `Kind name` with a blank too. Raises
    NotFound when nothing matches, or when objects of several names do.
    """
    if members := tuple(i for i, node in enumerate(graph.nodes) if node.unit == name and name):
        return members
    parts = [part for part in name.replace(" ", "/", 1).split("/") if part]
    found = [
        i for i, node in enumerate(graph.nodes) if _matches(node.ref.kind, node.ref.namespace, node.ref.name, parts)
    ]
    if len({(graph.nodes[i].ref.kind, graph.nodes[i].ref.namespace, graph.nodes[i].ref.name) for i in found}) == 1:
        return tuple(found)
    if found:
        shown = ", ".join(sorted({_full(graph, i) for i in found})[:_CANDIDATES]) + (
            " …" if len(found) > _CANDIDATES else ""
        )
        raise NotFound(f'"{name}" may be any of {len(found)} objects: {shown}', "write Kind/namespace/name")
    near = _near(graph, parts[-1] if parts else name)
    raise NotFound(
        f'"{name}" is no object or unit of this repo',
        f"did you mean {near}?" if near else "dr graph REPO --resources lists them",
    )


def _matches(kind: str, namespace: str, name: str, parts: list[str]) -> bool:
    lowered = kind.lower()
    match parts:
        case [one]:
            return name == one
        case [first, second]:
            return name == second and (lowered == first.lower() or namespace == first)
        case [first, second, third]:
            return (lowered, namespace, name) == (first.lower(), second, third)
    return False


def _full(graph: Graph, index: int) -> str:
    ref = graph.nodes[index].ref
    return f"{ref.kind}/{ref.namespace}/{ref.name}" if ref.namespace else f"{ref.kind}/{ref.name}"


def _near(graph: Graph, name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only a wrong name pays for it

    names = {node.ref.name: i for i, node in reversed(list(enumerate(graph.nodes)))}
    return ", ".join(_full(graph, names[close]) for close in get_close_matches(name, names, n=3))


class Paths(Struct, frozen=True):
    """The paths from A to B: their exact number, and the first of them, shortest first."""

    total: int
    shown: tuple[tuple[Edge, ...], ...]


def paths(graph: Graph, needed: Iterable[int], needing: Iterable[int], limit: int) -> Paths:
    """Return every path by which one of `needing` needs one of `needed`, up to `limit` in full.

    Between two nodes the strongest edge stands for all. The number is exact even where it is
    astronomically large (counted over the order of the graph, not by walking each path).
    """
    ends, starts = set(needing), set(needed)
    adjacency = Adjacency(graph)
    useful = _closure(ends, adjacency.into, lambda e: e.before) & _closure(starts, adjacency.out, lambda e: e.after)
    following = {node: _strongest(e for e in adjacency.out.get(node, ()) if e.after in useful) for node in useful}
    counts: dict[int, int] = {}
    for node in reversed(_sorted(useful, following)):
        counts[node] = (1 if node in ends else 0) + sum(counts[e.after] for e in following[node])
    total = sum(counts.get(start, 0) - (1 if start in ends else 0) for start in starts)
    return Paths(total, tuple(_shortest_first(sorted(starts & useful), ends, following, limit)))


def _strongest(edges: Iterable[Edge]) -> list[Edge]:
    force = {Strength.READY: 0, Strength.EXISTS: 1, Strength.SOFT: 2}
    best: dict[int, Edge] = {}
    for edge in sorted(edges, key=lambda e: (e.after, force[e.strength], e)):
        best.setdefault(edge.after, edge)
    return list(best.values())


def _sorted(nodes: set[int], following: dict[int, list[Edge]]) -> list[int]:
    pending = dict.fromkeys(nodes, 0)
    for node in nodes:
        for edge in following[node]:
            pending[edge.after] += 1
    ready = [node for node in sorted(nodes) if not pending[node]]
    done = []
    while ready:
        done.append(node := ready.pop())
        for edge in following[node]:
            pending[edge.after] -= 1
            if not pending[edge.after]:
                ready.append(edge.after)
    return done


def _shortest_first(
    starts: list[int], ends: set[int], following: dict[int, list[Edge]], limit: int
) -> Iterator[tuple[Edge, ...]]:
    level: list[tuple[int, tuple[Edge, ...]]] = [(start, ()) for start in starts]
    shown = 0
    while level and shown < limit:
        below: list[tuple[int, tuple[Edge, ...]]] = []
        for node, path in level:
            if path and node in ends:
                yield path
                shown += 1
                if shown == limit:
                    return
            below.extend((e.after, (*path, e)) for e in following.get(node, ()))
        # Every prefix kept leads to an end, so `limit` of them are enough to show `limit` paths.
        level = below[: max(limit * 50, 1000)]


class Reached(Struct, frozen=True):
    """A node that a walk reached: by which edge, how far from the start, and whether hard edges alone lead there."""

    node: int
    edge: Edge
    distance: int
    hard: bool


def needs(graph: Graph, starts: Iterable[int]) -> tuple[Reached, ...]:
    """Return all that `starts` need, nearest first."""
    return _walk(starts, Adjacency(graph, cuts=True).into, lambda e: e.before)


def impact(graph: Graph, starts: Iterable[int]) -> tuple[Reached, ...]:
    """Return all that needs `starts`: what cannot be restored (`hard`), or only suffers, without them."""
    return _walk(starts, Adjacency(graph, cuts=True).out, lambda e: e.after)


def _walk(starts: Iterable[int], adjacency: dict[int, list[Edge]], end: Callable[[Edge], int]) -> tuple[Reached, ...]:
    first = set(starts)
    found: dict[int, Reached] = {}
    for hard in (True, False):
        level, distance = sorted(first | ({n for n, r in found.items() if r.hard} if not hard else set())), 0
        while level:
            distance += 1
            below: list[int] = []
            for node in level:
                for edge in sorted(adjacency.get(node, ()), key=lambda e: (end(e), e)):
                    target = end(edge)
                    if target in first or target in found or (hard and edge.strength is Strength.SOFT):
                        continue
                    base = found[node].distance if node in found else 0
                    found[target] = Reached(target, edge, base + 1, hard)
                    below.append(target)
            level = below
    return tuple(sorted(found.values(), key=lambda r: (not r.hard, r.distance, r.node)))


def _closure(starts: set[int], adjacency: dict[int, list[Edge]], end: Callable[[Edge], int]) -> set[int]:
    seen, stack = set(starts), list(starts)
    while stack:
        for edge in adjacency.get(stack.pop(), ()):
            if (target := end(edge)) not in seen:
                seen.add(target)
                stack.append(target)
    return seen
