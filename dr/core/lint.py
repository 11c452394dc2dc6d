"""Findings that need the whole graph: APIs no longer served, declared against inferred order, plain Secrets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from dr.core.body import mapping
from dr.core.declared_order import compare
from dr.core.edges.references import where
from dr.core.model import Diagnostic, Edge, Level, Resource, Unit
from dr.core.rules.removals import CRD_REMOVALS, REMOVALS
from dr.core.world import World

_BY_VERSION = defaultdict(list)
for _row in (*REMOVALS, *CRD_REMOVALS):
    _BY_VERSION[_row.api_version].append(_row)
_BUILTIN_VERSIONS = frozenset(row.api_version for row in REMOVALS)


def findings(world: World, units: Sequence[Unit], edges: Sequence[Edge], cuts: frozenset[Edge]) -> Iterator[Diagnostic]:
    """Yield the findings on the objects and on the declared order."""
    for resource in world.resources:
        yield from _removed(resource)
        yield from _plain_secret(resource)
    yield from compare(world, units, (edge for edge in edges if edge not in cuts))


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
