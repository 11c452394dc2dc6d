"""What every drawing of a graph shows: boxes by depth and one link for all edges between two of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Literal

from msgspec import Struct

from dr.core.depth import Pair, depths, forward, implied, pair_depths
from dr.core.model import Edge, Graph, Origin, Strength
from dr.report.console import label, many

DrawingLevel = Literal["units", "objects"]
# Above this many boxes links are not reduced: it takes memory of the square of their number.
MAX_REDUCED = 2000
_OUTSIDE = {Origin.GIT: "Outside every unit", Origin.DERIVED: "Outside every unit", Origin.MISSING: "Not in git"}
FORCE = {Strength.SOFT: 0, Strength.EXISTS: 1, Strength.READY: 2}


class Box(Struct, frozen=True):
    """A unit with its objects, or one object. `members` are node indices, `home` the index of its unit's box."""

    title: str
    note: str
    origin: Origin
    members: tuple[int, ...]
    home: int
    depth: int = 0


class Link(Struct, frozen=True):
    """All edges from one box to another: the strongest of them, how many, and whether they are cut.

    `implied` is True where a longer way at least as strong says the same.
    """

    before: int
    after: int
    edge: Edge
    count: int
    cut: bool
    implied: bool = False


class Drawing(Struct, frozen=True):
    """Boxes in a stable order, links between them by index, and those of the units (the same ones at that level)."""

    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    homes: tuple[Box, ...]


def draw(graph: Graph, level: DrawingLevel) -> Drawing:
    """Return the boxes and links of a graph by units or by objects.

    What is not in git counts as one more unit. At object level the depth is that of the graph
    without its cuts; units that need each other stand in the order of their objects' mean depth.
    """
    units = _units(graph)
    home = {node: index for index, unit in enumerate(units) for node in unit.members}
    depth = depths(len(graph.nodes), graph.edges, graph.cuts)
    if level == "objects":
        boxes = tuple(Box(label(node), "", node.origin, (i,), home[i], depth[i]) for i, node in enumerate(graph.nodes))
        links = _links(graph, range(len(boxes)))
        return Drawing(boxes, _reduced(links, len(boxes), {(k.before, k.after) for k in links}), units)
    links = _links(graph, [home[i] for i in range(len(graph.nodes))])
    rank = [sum(depth[i] for i in unit.members) / max(1, len(unit.members)) for unit in units]
    onward = forward({(k.before, k.after) for k in links if not k.cut}, rank)
    placed = zip(units, pair_depths(len(units), onward), strict=True)
    boxes = tuple(Box(u.title, u.note, u.origin, u.members, u.home, d) for u, d in placed)
    return Drawing(boxes, _reduced(links, len(boxes), onward), boxes)


def _units(graph: Graph) -> tuple[Box, ...]:
    members: dict[tuple[bool, str], list[int]] = {(False, unit.name): [] for unit in graph.units}
    for index, node in enumerate(graph.nodes):
        key = (False, node.unit) if node.unit else (True, _OUTSIDE[node.origin])
        members.setdefault(key, []).append(index)
    kinds = {unit.name: unit.kind for unit in graph.units}
    boxes = []
    for position, ((outside, name), inside) in enumerate(sorted(members.items())):
        count = many(len(inside), "object")
        note = count if outside else f"{kinds.get(name, 'unit')} · {count}"
        origin = graph.nodes[inside[0]].origin if outside else Origin.GIT
        boxes.append(Box(name, note, origin, tuple(inside), position))
    return tuple(boxes)


def _links(graph: Graph, box_of: Sequence[int]) -> list[Link]:
    between: dict[tuple[int, int], list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        if box_of[edge.before] != box_of[edge.after]:
            between[box_of[edge.before], box_of[edge.after]].append(edge)
    links = []
    for (before, after), edges in sorted(between.items()):
        kept = [edge for edge in edges if edge not in graph.cuts]
        best = min(kept or edges, key=lambda edge: (-FORCE[edge.strength], edge))
        links.append(Link(before, after, best, len(edges), not kept))
    return links


def _reduced(links: Sequence[Link], box_count: int, onward: Collection[Pair]) -> tuple[Link, ...]:
    if box_count > MAX_REDUCED:
        return tuple(links)
    force = {(k.before, k.after): FORCE[k.edge.strength] for k in links if not k.cut and (k.before, k.after) in onward}
    spare = implied(box_count, force)
    return tuple(Link(k.before, k.after, k.edge, k.count, k.cut, implied=(k.before, k.after) in spare) for k in links)
