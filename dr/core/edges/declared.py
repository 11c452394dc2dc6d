"""Orders that a team has written down: dependsOn, waves and hooks, annotations, change rules, file prefixes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from dr.core.body import get, items, mapping, text
from dr.core.edges.references import where
from dr.core.model import Basis, Diagnostic, Edge, Level, Ref, Resource, Strength, Unit
from dr.core.world import Found, World

_KAPP = "kapp.k14s.io/"
# Orders of owners that their units' objects follow; dependsOn does so itself.
_HANDED_DOWN = frozenset({"sync-wave", "depends-on", "change-rule"})
_DEPENDS_ON = ("config.kubernetes.io/depends-on", "dr.dev/depends-on")
_PREFIX = re.compile(r"(?:^|/)(\d{2,3})[-_][^/]+$")
# Argo CD's phases, then Helm's hooks as Argo CD maps them.
_PHASES = {
    "PreSync": -1,
    "pre-install": -1,
    "pre-upgrade": -1,
    "Sync": 0,
    "PostSync": 1,
    "post-install": 1,
    "post-upgrade": 1,
}
_NEVER = frozenset(
    {
        "SyncFail",
        "Skip",
        "PreDelete",
        "PostDelete",
        "pre-delete",
        "post-delete",
        "pre-rollback",
        "post-rollback",
        "test",
        "test-success",
    }
)


def units_in_order(world: World, units: Iterable[Unit]) -> Iterator[Found]:
    """Yield the edges of Flux's dependsOn and of unit owners.

    The object that owns a unit (a Flux Kustomization, an Application) stands for the unit's
    completion: it comes after the unit's objects, and what depends on it comes after it. Source:
    Flux reports a Kustomization Ready when all it applied is stored, or with `wait` healthy.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, resource in enumerate(world.resources):
        members[resource.unit].append(index)
    owned = owned_units(world, units)
    owners = {name: index for index, name in owned.items()}
    contents = _contents(members, owners)
    for name, owner in sorted(owners.items()):
        resource = world.resources[owner]
        waits = _waits(resource)
        for index in contents[name]:
            if index == owner or (index in owned and not waits):
                continue
            strength = Strength.READY if waits else Strength.EXISTS
            reason = "is complete with its objects"
            yield Edge(index, owner, strength, Basis.DECLARED, "unit", reason, resource.where)
    for name, owner in sorted(owners.items()):
        yield from _depends_on(world, owner, contents[name])


def _contents(members: Mapping[str, list[int]], owners: Mapping[str, int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {name: [] for name in owners}
    for unit, indices in members.items():
        owner = unit.split(":", 1)[0]
        if owner in found:
            found[owner].extend(indices)
    return found


def _owner(world: World, unit: Unit) -> list[int]:
    ref = unit.owner
    return (
        [i for i in world.find(unit.env, ref.kind, ref.namespace, ref.name, ref.group) if i < len(world.resources)]
        if ref
        else []
    )


def _waits(owner: Resource) -> bool:
    spec = mapping(owner.body, "spec")
    return bool(spec.get("wait")) or bool(spec.get("healthChecks")) or owner.ref.kind == "Application"


def _depends_on(world: World, owner: int, contents: list[int]) -> Iterator[Found]:
    resource = world.resources[owner]
    if resource.ref.kind != "Kustomization":
        return
    for position, dependency in enumerate(items(resource.body, "spec", "dependsOn")):
        name = text(dependency, "name")
        namespace = text(dependency, "namespace") or resource.ref.namespace
        place = where(resource, ("spec", "dependsOn", position))
        targets = [
            i for i in world.find(resource.env, "Kustomization", namespace, name, resource.ref.group) if i != owner
        ]
        for target in targets:
            for index in (owner, *contents):
                if index != target:
                    part = "" if index == owner else f"belongs to Kustomization {resource.ref.name}, which "
                    reason = f"{part}declares dependsOn {name}"
                    yield Edge(target, index, Strength.READY, Basis.DECLARED, "dependsOn", reason, place)
        if not targets:
            cause = f"dependsOn names Kustomization {namespace}/{name}, which is not in git: it never becomes ready"
            yield Diagnostic(
                place,
                "unknown-dependency",
                Level.ERROR,
                str(resource.ref),
                cause,
                "correct the name, or remove the dependency",
            )


def handed_down(world: World, units: Iterable[Unit], edges: Iterable[Edge]) -> Iterator[Edge]:
    """Yield, for what a unit's owner comes after by a wave or an annotation, the same for the unit's objects."""
    owned = owned_units(world, units)
    members: dict[str, list[int]] = defaultdict(list)
    for index, resource in enumerate(world.resources):
        members[resource.unit.split(":", 1)[0]].append(index)
    for edge in edges:
        if edge.rule in _HANDED_DOWN and edge.after in owned:
            contents = members[owned[edge.after]]
            reason = (
                f"belongs to {world.nodes[edge.after].ref.kind} {world.nodes[edge.after].ref.name}, which {edge.reason}"
            )
            for index in contents if edge.before not in contents else ():
                yield Edge(edge.before, index, edge.strength, Basis.DECLARED, edge.rule, reason, edge.where)


def owned_units(world: World, units: Iterable[Unit]) -> dict[int, str]:
    """Return, by node id, the unit that an object stands for."""
    return {found[0]: unit.name for unit in units if unit.owner and (found := _owner(world, unit))}


def depends_on_annotations(world: World) -> Iterator[Found]:
    """Yield the edges of `config.kubernetes.io/depends-on` and `dr.dev/depends-on`.

    The form is `group/namespaces/NAMESPACE/Kind/name` or `group/Kind/name` (empty group: core),
    several separated by commas; `dr.dev/depends-on` takes `Kind/namespace/name` and `Kind/name` too.
    """
    for index, resource in enumerate(world.resources):
        annotations = mapping(resource.body, "metadata", "annotations")
        for key in _DEPENDS_ON:
            if not isinstance(value := annotations.get(key), str):
                continue
            place = where(resource, ("metadata", "annotations", key))
            for part in filter(None, map(str.strip, value.split(","))):
                ref = parse_dependency(part, resource.ref.namespace)
                found = world.find(resource.env, ref.kind, ref.namespace, ref.name, ref.group or None) if ref else []
                for target in found:
                    if target != index:
                        yield Edge(
                            target, index, Strength.READY, Basis.DECLARED, "depends-on", f"{key} names {part}", place
                        )
                if not found:
                    cause = f'{key} names "{part}", which is not in git'
                    remedy = "write group/namespaces/NAMESPACE/Kind/name or group/Kind/name of an object of this repo"
                    yield Diagnostic(place, "unknown-dependency", Level.ERROR, str(resource.ref), cause, remedy)


def parse_dependency(value: str, namespace: str) -> Ref | None:
    """Return the object that one part of a depends-on annotation names; None if it is not of the form.

    >>> str(parse_dependency("apps/namespaces/shop/Deployment/db", ""))
    'Deployment shop/db'
    """
    parts = value.split("/")
    if len(parts) == 5 and parts[1] == "namespaces":
        return Ref(f"{parts[0]}/", parts[3], parts[2], parts[4]) if parts[0] else Ref("", parts[3], parts[2], parts[4])
    if len(parts) == 4 and parts[0] == "namespaces":
        return Ref("", parts[2], parts[1], parts[3])
    if len(parts) == 3 and parts[0][:1].isupper():
        return Ref("", parts[0], parts[1], parts[2])
    if len(parts) == 3:
        return Ref(f"{parts[0]}/" if parts[0] else "", parts[1], "", parts[2])
    return Ref("", parts[0], namespace, parts[1]) if len(parts) == 2 else None


def waves(world: World) -> Iterator[Edge]:
    """Yield the edges of Argo CD's phases and sync waves and of file-name prefixes, within each unit.

    Each group of objects comes after the group before it. Source: Argo CD orders by phase, then wave.
    """
    units: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, resource in enumerate(world.resources):
        units[resource.env, resource.unit].append(index)
    for indices in units.values():
        yield from _chained(world, {i: _wave(world.resources[i]) for i in indices}, Strength.READY, "sync-wave")
        prefixes = {i: _prefix(world.resources[i]) for i in indices}
        if all(order is not None for order in prefixes.values()):
            yield from _chained(world, prefixes, Strength.EXISTS, "file-prefix")


def _wave(resource: Resource) -> tuple[int, ...] | None:
    annotations = mapping(resource.body, "metadata", "annotations")
    hook = annotations.get("argocd.argoproj.io/hook") or annotations.get("helm.sh/hook") or "Sync"
    first = str(hook).split(",", maxsplit=1)[0].strip()
    if first in _NEVER:
        return None
    try:
        wave = int(annotations.get("argocd.argoproj.io/sync-wave") or annotations.get("helm.sh/hook-weight") or 0)
    except (TypeError, ValueError):
        wave = 0
    return _PHASES.get(first, 0), wave


def _prefix(resource: Resource) -> tuple[int, ...] | None:
    match = _PREFIX.search(resource.where.file)
    return (int(match[1]),) if match else None


def _chained(
    world: World, order: Mapping[int, tuple[int, ...] | None], strength: Strength, rule: str
) -> Iterator[Edge]:
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, position in order.items():
        if position is not None:
            groups[position].append(index)
    ordered = sorted(groups)
    for before, after in pairwise(ordered):
        for later in groups[after]:
            resource = world.resources[later]
            reason = f"is of {rule} {'/'.join(map(str, after))}, after {'/'.join(map(str, before))}"
            place = where(resource, ("metadata", "annotations")) if rule == "sync-wave" else resource.where
            for earlier in groups[before]:
                yield Edge(earlier, later, strength, Basis.DECLARED, rule, reason, place)


def change_rules(world: World) -> Iterator[Found]:
    """Yield the edges of kapp's change groups and rules: `upsert after upserting GROUP` and `… before …`."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    rules: list[tuple[int, str, str]] = []
    for index, resource in enumerate(world.resources):
        for key, value in mapping(resource.body, "metadata", "annotations").items():
            if key.startswith(f"{_KAPP}change-group"):
                groups[resource.env, str(value)].append(index)
            elif key.startswith(f"{_KAPP}change-rule"):
                rules.append((index, key, str(value)))
    for index, key, value in rules:
        resource = world.resources[index]
        words = value.split()
        if len(words) != 4 or words[0] != "upsert" or words[1] not in ("after", "before") or words[2] != "upserting":
            continue
        place = where(resource, ("metadata", "annotations", key))
        targets = groups.get((resource.env, words[3]), [])
        for target in targets:
            before, after = (target, index) if words[1] == "after" else (index, target)
            if before != after:
                yield Edge(
                    before, after, Strength.READY, Basis.DECLARED, "change-rule", f"kapp change rule: {value}", place
                )


def is_hook(resource: Resource) -> bool:
    """Return whether an object is a hook that a restore never runs (failure, deletion, rollback, test)."""
    hook = get(resource.body, "metadata", "annotations", "argocd.argoproj.io/hook") or get(
        resource.body, "metadata", "annotations", "helm.sh/hook"
    )
    names = {part.strip() for part in str(hook or "").split(",") if part.strip()}
    return bool(names) and names <= _NEVER
