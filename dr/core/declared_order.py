"""Declared against inferred order: dependencies that are redundant, and those that nobody wrote down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dr.core.body import items
from dr.core.model import Basis, Diagnostic, Edge, Level, Strength, Unit
from dr.core.world import World

_CHARTS = ("HelmRelease", "HelmChart", "Application")
Pairs = Mapping[tuple[int, int], Edge]


def compare(world: World, units: Sequence[Unit], edges: Iterable[Edge]) -> Iterator[Diagnostic]:
    """Compare what Flux units and releases declare with what their objects show.

    Redundant: declared, but another declared path says it already, or nothing refers to it (never
    said of units with charts, which are opaque). Missing: units that declare some order depend on
    each other in a way that no declared path says.
    """
    block = _Blocks(world, units)
    declared: dict[tuple[int, int], Edge] = {}
    inferred: dict[tuple[int, int], Edge] = {}
    seen: dict[tuple[int, int], Edge] = {}
    for edge in edges:
        if (pair := block.pair(edge)) is None:
            continue
        if edge.basis is Basis.DECLARED:
            if edge.rule != "unit":
                declared.setdefault(pair, edge)
        else:
            seen.setdefault(pair, edge)
            if edge.strength is not Strength.SOFT:
                inferred.setdefault(pair, edge)
    yield from _redundant(block, declared, seen)
    yield from _missing(world, block, declared, inferred)


def _redundant(block: _Blocks, declared: Pairs, visible: Pairs) -> Iterator[Diagnostic]:
    reach, seen = _Reach(declared), _Reach(visible)
    for (before, after), edge in sorted(declared.items()):
        if edge.rule != "dependsOn" and not edge.rule.startswith("reference:spec.dependsOn"):
            continue
        earlier, later = block.name(before), block.name(after)
        middles = sorted(start for start, end in declared if end == after and start != before)
        if through := next((block.name(middle) for middle in middles if middle in reach.of(before)), ""):
            cause = f"dependsOn {earlier} is already implied: {later} depends on {through}, which depends on it"
            remedy = "remove it, or keep it as documentation"
        elif not block.opaque(before) and not block.opaque(after) and after not in seen.of(before):
            cause = f"dependsOn {earlier} has no reason that can be seen: nothing in {later} refers to it"
            remedy = "remove it if the order does not matter"
        else:
            continue
        yield Diagnostic(edge.where, "redundant-dependency", Level.INFO, later, cause, remedy)


def _missing(world: World, block: _Blocks, declared: Pairs, inferred: Pairs) -> Iterator[Diagnostic]:
    reach = _Reach(declared)
    speaking = {node for pair in declared for node in pair}
    for (before, after), edge in sorted(inferred.items()):
        known = any(reach.of(start) & block.around(after) for start in block.around(before))
        if before in speaking and after in speaking and not known:
            earlier = block.name(before)
            needs = f"{world.nodes[edge.after].ref} {edge.reason}"
            cause = f"{needs}, so it needs {earlier} first, but no dependsOn says so"
            remedy = f"add dependsOn {earlier}"
            yield Diagnostic(edge.where, "missing-dependency", Level.WARNING, block.name(after), cause, remedy)


class _Blocks:
    """The unit or release that each object belongs to for the comparison: by a representative node."""

    def __init__(self, world: World, units: Sequence[Unit]) -> None:
        self._world = world
        owners: dict[str, int] = {}
        for unit in units:
            if unit.owner:
                for index in world.find(
                    unit.env, unit.owner.kind, unit.owner.namespace, unit.owner.name, unit.owner.group
                ):
                    owners.setdefault(unit.name, index)
        # Releases speak for themselves as soon as one of them declares an order.
        ordering = any(items(world.resources[i].body, "spec", "dependsOn") for i in world.of_kind("HelmRelease"))
        stands = set(owners.values())
        self.of: list[int | None] = []
        self._parent: dict[int, int] = {}
        self._opaque: set[int] = set()
        for index, resource in enumerate(world.resources):
            owner = owners.get(resource.unit.split(":", 1)[0])
            alone = index in stands or (ordering and resource.ref.kind == "HelmRelease")
            self.of.append(index if alone else owner)
            if alone and owner is not None and owner != index:
                self._parent[index] = owner
            if resource.ref.kind in _CHARTS:
                self._opaque.update(i for i in (index, owner) if i is not None)
        made = {edge.after: self.of[edge.before] for edge in reversed(world.derived_edges)}
        self.of.extend(made.get(index) for index in range(len(world.resources), len(world.nodes)))

    def pair(self, edge: Edge) -> tuple[int, int] | None:
        """Return the two blocks that an edge connects; None within one, or where one is part of the other."""
        if max(edge.before, edge.after) >= len(self.of):
            return None
        before, after = self.of[edge.before], self.of[edge.after]
        if before is None or after is None or before == after or self.within(before, after):
            return None
        return before, after

    def name(self, index: int) -> str:
        ref = self._world.nodes[index].ref
        return f"{ref.kind} {ref.name}"

    def around(self, index: int) -> set[int]:
        """Return the block and the one that it is part of."""
        return {index, self._parent[index]} if index in self._parent else {index}

    def opaque(self, index: int) -> bool:
        """Return whether a chart hides what the block consists of."""
        return index in self._opaque

    def within(self, before: int, after: int) -> bool:
        """Return whether one of the two is part of the other."""
        return self._parent.get(before) == after or self._parent.get(after) == before


class _Reach:
    """Which nodes come after a node by a set of pairs, remembered."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        self.direct: dict[int, set[int]] = defaultdict(set)
        for before, after in pairs:
            self.direct[before].add(after)
        self._known: dict[int, set[int]] = {}

    def of(self, node: int) -> set[int]:
        if node not in self._known:
            seen: set[int] = set()
            stack = [node]
            while stack:
                for after in self.direct.get(stack.pop(), ()):
                    if after not in seen:
                        seen.add(after)
                        stack.append(after)
            self._known[node] = seen
        return self._known[node]
