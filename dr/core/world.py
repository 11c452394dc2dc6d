"""All objects of a restore in one canonical order, and the lookups that rules need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dr.core.body import dig, get, home_group, mapping, plural, text
from dr.core.model import Basis, Body, Diagnostic, Edge, Level, Node, Origin, Ref, Resource, Strength, Where
from dr.core.rules.builtin import BUILTIN_GROUPS, BUILTIN_KINDS, CLUSTER_SCOPED, EVERYWHERE
from dr.core.rules.derivations import DERIVATIONS
from dr.core.rules.prerequisites import BY_CONVENTION
from dr.core.rules.references import POD_SPECS
from dr.core.scan import segments

# The API version of derived objects that are not of the core group.
_VERSIONS = {"Deployment": "apps/v1", "ExternalArtifact": "source.toolkit.fluxcd.io/v1"}
_CLUSTER = CLUSTER_SCOPED | {row for row in BUILTIN_KINDS if f"{row.rpartition('/')[0]}/*" in CLUSTER_SCOPED}
_CLUSTER_KINDS = frozenset(row.rpartition("/")[2] for row in _CLUSTER)


class Need(Struct, frozen=True):
    """A reference to an object that is nowhere in git: what `after` needs, and the row that says so."""

    kind: str
    group: str
    namespace: str
    name: str
    after: int
    strength: Strength
    basis: Basis
    rule: str
    reason: str
    where: Where


Found = Edge | Need | Diagnostic


class World:
    """Objects by node id (their position), with derived ones after those of git."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.scopes = _scopes(resources := list(resources))
        self.resources = self._unique(resources)
        self.nodes: list[Node] = [Node(r.ref, Origin.GIT, r.unit, r.env, r.where) for r in self.resources]
        self._table: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            self._enter(index, node)
        self.derived_edges = tuple(self._derive())
        self.sources = frozenset((edge.before, edge.after) for edge in self.derived_edges)

    def _unique(self, resources: list[Resource]) -> tuple[Resource, ...]:
        first: dict[tuple[str, ...], Resource] = {}
        for found in _in_order(resources):
            ref = self._scoped(found.ref)
            resource = found if ref is found.ref else replace(found, ref=ref)
            key = (resource.env, home_group(ref.group, ref.kind), ref.kind, ref.namespace, ref.name)
            known = first.setdefault(key, resource)
            if known is not resource and known.where != resource.where:
                cause = f"is also defined at {known.where}; the first one counts"
                remedy = "delete one of the two, or select one part with --path or --env"
                self.diagnostics.append(
                    Diagnostic(resource.where, "duplicate-object", Level.ERROR, str(ref), cause, remedy)
                )
        return tuple(first.values())

    def _scoped(self, ref: Ref) -> Ref:
        namespaced = self.namespaced(ref.group, ref.kind)
        if namespaced is None or bool(ref.namespace) == namespaced:
            return ref
        return replace(ref, namespace="default" if namespaced else "")

    def namespaced(self, group: str, kind: str) -> bool | None:
        """Return whether a kind is namespaced; None where nothing tells."""
        if (known := self.scopes.get((group, kind))) is not None:
            return known
        group = home_group(group, kind)
        if f"{group}/{kind}" in CLUSTER_SCOPED or f"{group}/*" in CLUSTER_SCOPED:
            return False
        return True if group in BUILTIN_GROUPS else None

    def home(self, group: str | None, kind: str, namespace: str) -> str:
        """Return the namespace that a reference to `kind` means: none for a kind known as cluster-scoped."""
        scoped = kind in _CLUSTER_KINDS if group is None else self.namespaced(group, kind) is False
        return "" if scoped else namespace

    def _enter(self, index: int, node: Node) -> None:
        self._table[node.ref.kind, node.ref.namespace, node.ref.name].append(index)

    def find(self, env: str, kind: str, namespace: str, name: str, group: str | None = None) -> list[int]:
        """Return the ids of the objects of this name that are seen from environment `env`."""
        found = (
            self._table.get((kind, namespace, name)) or (self._table.get((kind, "", name)) if namespace else None) or ()
        )
        return [
            index
            for index in found
            if (not env or self.nodes[index].env in (env, ""))
            and (group is None or home_group(self.nodes[index].ref.group, kind) == home_group(group, kind))
        ]

    def everywhere(self, kind: str, namespace: str, name: str) -> bool:
        """Return whether every cluster has this object from the start."""
        return any(
            kind == row_kind
            and row_namespace in ("*", "", namespace)
            and (name == row_name or (row_name.endswith("*") and name.startswith(row_name[:-1])))
            for row_kind, row_namespace, row_name in (*EVERYWHERE, *BY_CONVENTION)
        )

    @cached_property
    def crds(self) -> Mapping[tuple[str, str], int]:
        """Return the CustomResourceDefinitions of git by (group, kind) of what they define."""
        return {
            (text(body, "spec", "group"), text(body, "spec", "names", "kind")): index
            for index in self.of_kind("CustomResourceDefinition")
            for body in [self.resources[index].body]
        }

    def plural(self, group: str, kind: str) -> str:
        """Return a kind's resource name: from its CRD in git, else by the usual rule."""
        index = self.crds.get((group, kind))
        named = text(self.resources[index].body, "spec", "names", "plural") if index is not None else ""
        return named or plural(kind)

    def of_kind(self, kind: str, groups: str | Iterable[str] | None = None) -> list[int]:
        """Return the ids of git's objects of a kind, of one API group or several if given."""
        wanted = {groups} if isinstance(groups, str) else set(groups) if groups is not None else None
        return [i for i in self._by_kind.get(kind, ()) if wanted is None or self.nodes[i].ref.group in wanted]

    @cached_property
    def _by_kind(self) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for index, resource in enumerate(self.resources):
            found[resource.ref.kind].append(index)
        return found

    def _derive(self) -> Iterator[Edge]:
        for index, resource in enumerate(self.resources):
            ref = resource.ref
            for row in _DERIVATIONS.get(ref.kind, ()):
                if row.group and row.group != ref.group:
                    continue
                namespace = (
                    next(_texts(resource.body, row.namespaced_by), ref.namespace)
                    if row.namespaced_by
                    else ref.namespace
                )
                for name in _derived_names(row.name, resource.body, ref.name):
                    yield from self._derived(index, row.to, namespace, name, row.reason)
        for index in self.of_kind("Ingress"):
            resource = self.resources[index]
            if any(
                "cert-manager.io/" in key or "certmanager.k8s.io/" in key
                for key in mapping(resource.body, "metadata", "annotations")
            ):
                for name in _texts(resource.body, "spec.tls[].secretName"):
                    yield from self._derived(index, "Secret", resource.ref.namespace, name, "is made by cert-manager")

    def _derived(self, source: int, kind: str, namespace: str, name: str, reason: str) -> Iterator[Edge]:
        env = self.nodes[source].env
        ref = Ref(_VERSIONS.get(kind, "v1"), kind, namespace, name)
        known = [i for i in self.find(env, kind, namespace, name, ref.group) if self.nodes[i].env == env]
        if known and self.nodes[known[0]].origin is Origin.GIT:
            return
        index = known[0] if known else len(self.nodes)
        if not known:
            node = Node(ref, Origin.DERIVED, self.nodes[source].unit, env)
            self.nodes.append(node)
            self._enter(index, node)
        where = self.resources[source].where
        yield Edge(source, index, Strength.READY, Basis.REFERENCE, "derived", reason, where)

    @cached_property
    def pods(self) -> Mapping[int, Body]:
        """Return the pod template (metadata and spec) of each workload by node id."""
        return {
            index: template
            for index, resource in enumerate(self.resources)
            if (path := POD_SPECS.get(resource.ref.kind)) and resource.ref.group != "serving.knative.dev"
            for template in [_parent(resource.body, path)]
            if isinstance(template, dict)
        }

    @cached_property
    def _labelled(self) -> Mapping[tuple[str, str, str], list[int]]:
        found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for index, template in self.pods.items():
            for key, value in mapping(template, "metadata", "labels").items():
                found[self.nodes[index].ref.namespace, key, str(value)].append(index)
        return found

    def selected(self, env: str, namespace: str, labels: Mapping[str, Any]) -> list[int]:
        """Return the workloads whose pods carry all of `labels` in a namespace; an empty selector selects none."""
        posted = [self._labelled.get((namespace, key, str(value)), []) for key, value in labels.items()]
        if not posted:
            return []
        shortest = min(posted, key=lambda found: len(found))  # noqa: PLW0108 - mypy cannot type len itself here
        common = set(shortest).intersection(*posted)
        return sorted(i for i in common if self.nodes[i].env == env or not env or not self.nodes[i].env)

    def backends(self, service: int) -> list[int]:
        """Return the workloads behind a Service of git; none for one without a selector."""
        if service >= len(self.resources):
            return []
        resource = self.resources[service]
        return self.selected(resource.env, resource.ref.namespace, mapping(resource.body, "spec", "selector"))


def _canonical(resource: Resource) -> tuple[Any, ...]:
    return resource.env, resource.where, resource.ref, resource.unit


def _in_order(resources: Iterable[Resource]) -> Iterator[Resource]:
    """Yield resources in canonical order; of several on one line, by content."""
    for _, same in groupby(sorted(resources, key=_canonical), key=_canonical):
        group = list(same)
        yield from sorted(group, key=lambda r: msgspec.json.encode(r.body)) if len(group) > 1 else group


def _scopes(resources: Iterable[Resource]) -> dict[tuple[str, str], bool]:
    return {
        (text(r.body, "spec", "group"), text(r.body, "spec", "names", "kind")): text(r.body, "spec", "scope")
        != "Cluster"
        for r in resources
        if r.ref.kind == "CustomResourceDefinition"
    }


def _parent(body: Body, path: str) -> Any:
    return get(body, *path.split(".")[:-1]) if "." in path else body


def _texts(body: Body, path: str) -> Iterator[str]:
    return (value for value in dig(body, segments(path)) if isinstance(value, str) and value)


def _derived_names(rules: Iterable[str], body: Body, own: str) -> list[str]:
    for rule in rules:
        names = [rule.format(own)] if "{}" in rule else sorted(set(_texts(body, rule)))
        if names:
            return names
    return []


_DERIVATIONS: dict[str, list[Any]] = defaultdict(list)
for _row in DERIVATIONS:
    _DERIVATIONS[_row.kind].append(_row)
