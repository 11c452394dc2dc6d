"""Edges from the reference rules: a field of one object names another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from dr.core.body import text
from dr.core.lines import line_of
from dr.core.model import Basis, Diagnostic, Edge, Level, Resource, Strength, Where
from dr.core.scan import Hit, RuleBook
from dr.core.world import Found, Need, World

# Rules by which an object uses a Service, and so the pods behind it; mere order is no use.
_USES = ("reference:", "service-host")
_VARIABLE = re.compile(r"\$\{[^}]*\}|\{\{.*?\}\}|<path:")


def references(world: World, book: RuleBook) -> Iterator[Found]:
    """Yield an edge for every reference that is met, a `Need` for every one that is not."""
    for index, resource in enumerate(world.resources):
        for hit in book.find(resource.ref.group, resource.ref.kind, resource.body):
            yield from _follow(world, index, resource, hit)


def _follow(world: World, index: int, resource: Resource, hit: Hit) -> Iterator[Found]:
    rule, holder = hit.rule, hit.holder if isinstance(hit.holder, dict) else {}
    if rule.when and holder.get(rule.when[0]) != rule.when[1]:
        return
    kind = text(holder, rule.kind_field) or rule.to
    if not kind:
        return
    place = where(resource, hit.path)
    if _VARIABLE.search(hit.value):
        if rule.missing:
            cause = f'{_dotted(hit.path)} is "{hit.value}": the variable has no value in git'
            remedy = "give it a literal value in postBuild.substitute, or declare the dependency with dr.dev/depends-on"
            yield Diagnostic(place, "unresolved-variable", Level.WARNING, str(resource.ref), cause, remedy)
        return
    group = _group(holder, rule.group)
    namespace, name = _address(rule.namespace, holder, resource.ref.namespace or "default", hit.value)
    namespace = world.home(group, kind, namespace)
    strength = Strength.SOFT if holder.get(rule.optional) is True else rule.strength
    label = f"reference:{_dotted(hit.path, generic=True)}"
    found = world.find(resource.env, kind, namespace, name, group)
    for target in found:
        if target != index and (index, target) not in world.sources:
            yield Edge(target, index, strength, rule.basis, label, f"{rule.reason} {name}", place)
    if found or not rule.missing or strength is Strength.SOFT or world.everywhere(kind, namespace, name):
        return
    if rule.kind == "?" and not _is_known(world, kind):
        return
    yield Need(kind, group or "", namespace, name, index, strength, rule.basis, label, rule.reason, place)


def _is_known(world: World, kind: str) -> bool:
    return bool(world.of_kind(kind)) or kind in (
        "Secret",
        "ConfigMap",
        "PersistentVolumeClaim",
        "StorageClass",
        "ClusterIssuer",
        "Issuer",
    )


def _group(holder: dict[str, Any], default: str | None) -> str | None:
    version = text(holder, "apiVersion")
    group = text(holder, "apiGroup") or text(holder, "group") or (version.rpartition("/")[0] if "/" in version else "")
    return group or default


def _address(mode: str, holder: dict[str, Any], own: str, value: str) -> tuple[str, str]:
    """Return (namespace, name) of a reference by the rule's namespace mode."""
    if mode == "host":
        name, _, rest = value.partition(".")
        return rest.split(".")[0] or own, name
    if mode.startswith("@"):
        return mode[1:], value
    namespace, slash, name = value.rpartition("/")
    if slash and namespace:
        return namespace, name
    return (own, value) if mode == "same" else (text(holder, mode) or own, value)


def where(resource: Resource, path: tuple[str | int, ...]) -> Where:
    """Return the place of a field of an object."""
    place = resource.where
    line = line_of(resource.body, resource.lines, path)
    return Where(place.file, line or place.line, place.repo)


def _dotted(path: tuple[str | int, ...], *, generic: bool = False) -> str:
    return "".join(("[]" if generic else f"[{part}]") if isinstance(part, int) else f".{part}" for part in path).lstrip(
        "."
    )


def through_services(world: World, edges: Iterable[Edge]) -> Iterator[Edge]:
    """Yield, for each edge from a Service, an edge from every workload behind it.

    Who needs a Service *ready* needs its pods ready; any other use is a use at run time (soft).
    """
    known: dict[int, list[int]] = {}
    for edge in edges:
        node = world.nodes[edge.before]
        if node.ref.kind != "Service" or node.ref.group or not edge.rule.startswith(_USES):
            continue
        workloads = known.get(edge.before)
        if workloads is None:
            workloads = known[edge.before] = world.backends(edge.before)
        if edge.after in workloads:
            continue
        strength = Strength.READY if edge.strength is Strength.READY else Strength.SOFT
        for workload in workloads:
            reason = f"{edge.reason}, which {world.nodes[workload].ref.kind} {world.nodes[workload].ref.name} answers"
            yield Edge(workload, edge.after, strength, Basis.INFERRED, "service-backend", reason, edge.where)
