"""Findings that need the whole graph: APIs no longer served, declared against inferred order, plain Secrets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from dr.core.edges.references import where
from dr.core.model import Basis, Diagnostic, Edge, Level, Resource, Strength, Unit
from dr.core.rules.removals import CRD_REMOVALS, REMOVALS
from dr.core.world import World, items, mapping

_BY_VERSION = defaultdict(list)
for _row in (*REMOVALS, *CRD_REMOVALS):
    _BY_VERSION[_row.api_version].append(_row)
_BUILTIN_VERSIONS = frozenset(row.api_version for row in REMOVALS)
_CHARTS = ("HelmRelease", "HelmChart", "Application")


def findings(world: World, units: Sequence[Unit], edges: Sequence[Edge], cuts: frozenset[Edge]) -> Iterator[Diagnostic]:
    """Yield the findings on the objects and on the declared order."""
    for resource in world.resources:
        yield from _removed(resource)
        yield from _plain_secret(resource)
    yield from _declared_order(world, units, [edge for edge in edges if edge not in cuts])


def _removed(resource: Resource) -> Iterator[Diagnostic]:
    version = resource.ref.api_version
    for row in _BY_VERSION.get(version, ()):
        if row.kinds and resource.ref.kind not in row.kinds:
            continue
        builtin = version in _BUILTIN_VERSIONS
        since = (
            f"no cluster serves {version} {resource.ref.kind} since Kubernetes {row.removed}"
            if builtin
            else f"{version} {resource.ref.kind} is gone since {row.removed}"
        )
        remedy = f"move it to {row.instead}" if row.instead else "replace it: there is no later version"
        code, level = ("removed-api", Level.ERROR) if builtin else ("removed-crd-api", Level.WARNING)
        yield Diagnostic(where(resource, ("apiVersion",)), code, level, str(resource.ref), since, remedy)
        return


def _plain_secret(resource: Resource) -> Iterator[Diagnostic]:
    ref = resource.ref
    if ref.kind != "Secret" or ref.group or "sops" in resource.body:
        return
    filled = [
        key
        for field in ("data", "stringData")
        for key, value in mapping(resource.body, field).items()
        if value and "${" not in str(value)
    ]
    if filled:
        cause = f"{len(filled)} value(s) stand in git in plain text"
        yield Diagnostic(
            resource.where,
            "secret-in-plain-text",
            Level.WARNING,
            str(ref),
            cause,
            "seal it, or keep it in a secret store",
        )


def _declared_order(world: World, units: Sequence[Unit], edges: Iterable[Edge]) -> Iterator[Diagnostic]:
    """Compare what Flux units and releases declare with what their objects show.

    Redundant: declared, but another declared path says it already. Missing: units that declare
    some order depend on each other in a way that no declared path says.
    """
    block = _Blocks(world, units)
    declared: dict[tuple[int, int], Edge] = {}
    inferred: dict[tuple[int, int], Edge] = {}
    for edge in edges:
        if max(edge.before, edge.after) >= len(world.resources):
            continue
        before, after = block.of[edge.before], block.of[edge.after]
        if before is None or after is None or before == after or block.within(before, after):
            continue
        if edge.basis is Basis.DECLARED and edge.rule != "unit":
            declared.setdefault((before, after), edge)
        elif edge.basis is not Basis.DECLARED and edge.strength is not Strength.SOFT and edge.rule not in ("webhook",):
            inferred.setdefault((before, after), edge)
    reach, seen = _Reach(declared), _Reach(inferred)
    for (before, after), edge in sorted(declared.items()):
        if not (edge.rule == "dependsOn" or edge.rule.startswith("reference:spec.dependsOn")):
            continue
        through = next(
            (middle for middle in sorted(reach.direct[before]) if middle != after and after in reach.of(middle)), None
        )
        if through is not None:
            cause = f"dependsOn {block.name(before)} is already implied: {block.name(after)} depends on {block.name(through)}, which depends on it"
            yield Diagnostic(
                edge.where,
                "redundant-dependency",
                Level.INFO,
                block.name(after),
                cause,
                "remove it, or keep it as documentation",
            )
        elif not block.opaque(before) and not block.opaque(after) and after not in seen.of(before):
            cause = f"dependsOn {block.name(before)} has no reason that can be seen: nothing in {block.name(after)} refers to it"
            yield Diagnostic(
                edge.where,
                "redundant-dependency",
                Level.INFO,
                block.name(after),
                cause,
                "remove it if the order does not matter",
            )
    speaking = {node for pair in declared for node in pair}
    for (before, after), edge in sorted(inferred.items()):
        if (
            before in speaking
            and after in speaking
            and not any(reach.of(b) & block.around(after) for b in block.around(before))
        ):
            cause = f"{world.nodes[edge.after].ref} {edge.reason}, so it needs {block.name(before)} first, but no dependsOn says so"
            yield Diagnostic(
                edge.where,
                "missing-dependency",
                Level.WARNING,
                block.name(after),
                cause,
                f"add dependsOn {block.name(before)}",
            )


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
