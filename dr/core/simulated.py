"""What the stand-ins of a rehearsal play: derived from the graph, by the same rules that ordered it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from dr.core.body import get, mapping, plural
from dr.core.kubelet import asked_keys
from dr.core.model import Body, Edge, Graph, Level, Node, Origin, Ref, Resource
from dr.core.rules.builtin import BUILTIN_GROUPS, GITOPS_GROUPS
from dr.core.rules.prerequisites import ENGINE_NAMESPACES
from dr.core.rules.references import POD_SPECS

_LABELS = {"dr.dev/simulated": "true"}
_CONTROLLED = frozenset({"controller", "chart-controller"})
_FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_CRD = "apiextensions.k8s.io/v1"
_SEALING_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key"
_CLASS = {"storageclass.kubernetes.io/is-default-class": "true"}
# What is created for a prerequisite that dr.yaml says is provided: API version, and fields beside metadata.
_PROVIDED: dict[str, tuple[str, Body]] = {
    "ClusterRole": ("rbac.authorization.k8s.io/v1", {"rules": []}),
    "ConfigMap": ("v1", {}),
    "IngressClass": ("networking.k8s.io/v1", {"spec": {"controller": "dr.dev/simulated"}}),
    "Namespace": ("v1", {}),
    "PriorityClass": ("scheduling.k8s.io/v1", {"value": 1000}),
    "Role": ("rbac.authorization.k8s.io/v1", {"rules": []}),
    "RuntimeClass": ("node.k8s.io/v1", {"handler": "simulated"}),
    "Secret": ("v1", {}),
    "Service": ("v1", {"spec": {"ports": [{"port": 80}]}}),
    "ServiceAccount": ("v1", {}),
    "StorageClass": ("storage.k8s.io/v1", {"provisioner": "simulated.dr.dev"}),
}
_ELSEWHERE = frozenset({"API", "SealingKey"})  # supplied in another way, and named there
_MADE: dict[str, tuple[str, Body]] = {
    **_PROVIDED,
    "Deployment": (
        "apps/v1",
        {
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": _LABELS},
                "template": {
                    "metadata": {"labels": _LABELS},
                    "spec": {"containers": [{"name": "simulated", "image": "simulated"}]},
                },
            }
        },
    ),
}


class Served(Struct, frozen=True):
    """An object that a controller acts on.

    It becomes Ready, and `makes` are created, once all of `by` (the controller's workloads or releases) are ready.
    `error` is why it never does ("" where nothing stands against it).
    """

    ref: Ref
    by: tuple[Ref, ...] = ()
    makes: tuple[Body, ...] = ()
    error: str = ""


class Brought(Struct, frozen=True):
    """A CustomResourceDefinition that comes with `by` (a release), or is there from the start (None)."""

    body: Body
    by: Ref | None = None


class Simulation(Struct, frozen=True):
    """Everything that a rehearsal's stand-ins must know of a repo.

    `objects` are there from the start; `startup` is in seconds, by `Kind/namespace/name`, `Kind` or `*`; `seed` makes
    the spread of start-up times repeatable; `names` say what is supplied, for the report.
    """

    served: tuple[Served, ...] = ()
    brought: tuple[Brought, ...] = ()
    objects: tuple[Body, ...] = ()
    startup: dict[str, float] = {}
    seed: int = 0
    names: tuple[str, ...] = ()


def simulate(
    graph: Graph, resources: Sequence[Resource], provided: Iterable[str], startup: Mapping[str, float], seed: int
) -> Simulation:
    """Return what stand-ins must play so that a repo meets in a rehearsal what it would meet for real.

    `provided` are dr.yaml's entries: `Kind/name`, `Kind/namespace/name`, `Kind/*`, `API/group`, `Chart/folder`.
    """
    given = frozenset(provided)
    into: dict[int, list[Edge]] = defaultdict(list)
    out: dict[int, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        into[edge.after].append(edge)
        out[edge.before].append(edge)
    keys = asked_keys(_pods(resources))
    # A SealedSecret says itself which keys come of it: one that pods take and it lacks is missing for real.
    for resource in resources:
        if resource.ref.kind == "SealedSecret" and (own := mapping(resource.body, "spec", "encryptedData")):
            keys["Secret", resource.ref.namespace, resource.ref.name] = set(own)
    charts = [f"the folder {entry.removeprefix('Chart/')} is" for entry in given if entry.startswith("Chart/")]
    errors = {
        d.subject: d.cause
        for d in graph.diagnostics
        if d.code == "missing-chart" and d.level is Level.ERROR and not any(map(d.cause.startswith, charts))
    }
    served, kinds = [], defaultdict(list)
    for index, node in enumerate(graph.nodes):
        derived = [graph.nodes[edge.after].ref for edge in out[index] if edge.rule == "derived"]
        builtin = node.ref.group in BUILTIN_GROUPS
        if node.origin is not Origin.GIT or (builtin and not derived):
            continue
        if not builtin:
            kinds[node.ref.group, node.ref.kind].append(index)
        by = {graph.nodes[edge.before].ref for edge in into[index] if edge.rule in _CONTROLLED}
        lacks = next((error for edge in into[index] if (error := _unsealed(graph, edge, given))), "")
        bodies = tuple(_made(ref, keys) for ref in sorted(set(derived)) if ref.namespace)
        served.append(Served(node.ref, tuple(sorted(by)), bodies, lacks or errors.get(str(node.ref), "")))
    names: list[str] = []
    unknown = {f"{s.ref.kind}.{s.ref.group}" for s in served if not s.by and not _by_engine(s.ref)}
    names += [f"the controller of {kind}: none was found in git, so it is taken as given" for kind in sorted(unknown)]
    brought = list(_brought(graph, into, kinds, given, names))
    objects = list(_objects(graph, given, keys, names))
    return Simulation(tuple(served), tuple(brought), tuple(objects), dict(startup), seed, tuple(names))


def _by_engine(ref: Ref) -> bool:
    return ref.group in BUILTIN_GROUPS or ref.group in GITOPS_GROUPS


def _pods(resources: Iterable[Resource]) -> Iterator[tuple[str, Body]]:
    for resource in resources:
        path = POD_SPECS.get(resource.ref.kind)
        spec = get(resource.body, *path.split(".")) if path else None
        if isinstance(spec, dict):
            yield resource.ref.namespace, spec


def _unsealed(graph: Graph, edge: Edge, given: frozenset[str]) -> str:
    node = graph.nodes[edge.before]
    if node.ref.kind != "SealingKey" or _is_given(node, given):
        return ""
    return "no sealing key opens it: the key is neither in git nor in the cluster"


def _is_given(node: Node, given: frozenset[str]) -> bool:
    ref = node.ref
    return bool(given & {f"{ref.kind}/{ref.name}", f"{ref.kind}/{ref.namespace}/{ref.name}", f"{ref.kind}/*"})


def _made(ref: Ref, keys: Mapping[tuple[str, str, str], set[str]]) -> Body:
    version, fields = _MADE.get(ref.kind, (ref.api_version, {}))
    body: Body = {
        "apiVersion": version,
        "kind": ref.kind,
        "metadata": {"name": ref.name, "namespace": ref.namespace, "labels": _LABELS},
        **fields,
    }
    asked = sorted(keys.get((ref.kind, ref.namespace, ref.name), ()))
    if ref.kind in ("Secret", "ConfigMap"):
        body["stringData" if ref.kind == "Secret" else "data"] = dict.fromkeys(asked or ["simulated"], "simulated")
    return body


def _brought(
    graph: Graph,
    into: Mapping[int, Sequence[Edge]],
    kinds: Mapping[tuple[str, str], Sequence[int]],
    given: frozenset[str],
    names: list[str],
) -> Iterator[Brought]:
    """Yield permissive CRDs for the custom kinds of git whose CRD is not in git but comes with something."""
    for (group, kind), indices in sorted(kinds.items()):
        edges = [edge for index in indices for edge in into[index]]
        rules = {edge.rule for edge in edges}
        if "crd" in rules:
            continue
        body = _crd(group, kind, [graph.nodes[index].ref for index in indices])
        releases = sorted({graph.nodes[edge.before].ref for edge in edges if edge.rule == "chart-crd"})
        if releases:
            yield Brought(body, releases[0])
        elif "engine" in rules or given & {f"API/{group}", "API/*"}:
            why = "its engine's" if "engine" in rules else "provided"
            names.append(f"API {kind}.{group} ({why})")
            yield Brought(body)


def _crd(group: str, kind: str, refs: Sequence[Ref]) -> Body:
    versions = sorted({ref.api_version.rpartition("/")[2] for ref in refs})
    status = {
        **_FREE,
        "properties": {"conditions": {"type": "array", "items": _FREE}, "observedGeneration": {"type": "integer"}},
    }
    schema = {"openAPIV3Schema": {**_FREE, "properties": {"spec": _FREE, "status": status}}}
    return {
        "apiVersion": _CRD,
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural(kind)}.{group}", "labels": _LABELS, "annotations": _approval(group)},
        "spec": {
            "group": group,
            "scope": "Namespaced" if any(ref.namespace for ref in refs) else "Cluster",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural(kind),
                "singular": kind.lower(),
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[-1],
                    "schema": schema,
                    "subresources": {"status": {}},
                }
                for version in versions
            ],
        },
    }


def _approval(group: str) -> dict[str, str]:
    """Return what the API server wants to see on CRDs of the community's own groups."""
    protected = group.endswith((".k8s.io", ".kubernetes.io"))
    return {"api-approved.kubernetes.io": "unapproved, simulated"} if protected else {}


def _objects(
    graph: Graph, given: frozenset[str], keys: Mapping[tuple[str, str, str], set[str]], names: list[str]
) -> Iterator[Body]:
    """Yield the prerequisites that are provided, namespaces first."""
    missing = [node for node in graph.nodes if node.origin is Origin.MISSING]
    wanted = [node.ref for node in missing if node.ref.kind in _PROVIDED and _is_given(node, given)]
    other = {n.ref for n in missing if n.ref.kind not in {*_PROVIDED, *_ELSEWHERE} and _is_given(n, given)}
    names += [f"{ref} (taken as given, not made)" for ref in sorted(other)]
    engines = [n.ref for n in missing if n.ref.kind == "Namespace" and n.ref.name in ENGINE_NAMESPACES]
    for ref in sorted({*wanted, *engines}, key=lambda ref: (ref.kind != "Namespace", ref)):
        version, fields = _PROVIDED[ref.kind]
        body = {**_made(ref, keys), "apiVersion": version, **fields}
        if not ref.namespace:
            del body["metadata"]["namespace"]
        names.append(f"{ref} ({'provided' if ref in wanted else 'its engine makes it'})")
        yield body
    if given & {"SealingKey/*", "SealingKey/sealed-secrets-key"}:
        names.append("SealingKey sealed-secrets-key (provided)")
        metadata = {"name": "sealed-secrets-key", "namespace": "kube-system"}
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**metadata, "labels": {**_LABELS, _SEALING_LABEL: "active"}},
        }
    if given & {"StorageClass/*", "StorageClass/default"}:
        names.append("StorageClass (default) (provided)")
        version, fields = _PROVIDED["StorageClass"]
        metadata = {"name": "simulated", "labels": _LABELS, "annotations": _CLASS}  # type: ignore[dict-item]
        yield {"apiVersion": version, "kind": "StorageClass", "metadata": metadata, **fields}
