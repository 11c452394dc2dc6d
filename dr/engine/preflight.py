"""What can be known before anything is changed: identity, permissions, served kinds, prerequisites."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from dr.core.body import mapping, text
from dr.core.errors import ApiError
from dr.core.events import Checked, PlannedStep
from dr.core.model import Body, Graph, Level, Node, Origin, Ref
from dr.core.rules.findings import INCOMPLETE
from dr.core.work import Assignment
from dr.engine.patient import patient
from dr.engine.ports import Api, Cluster
from dr.engine.recorder import Recorder

UNREAD = "read"
_VERBS = ("create", "get", "list", "patch", "watch")
_AT_ONCE = 16
_BRINGS = frozenset({"crd", "chart-crd", "chart-stack"})
_VERSIONS = {
    "StorageClass": "storage.k8s.io/v1",
    "IngressClass": "networking.k8s.io/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
    "RuntimeClass": "node.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "Deployment": "apps/v1",
}
_KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key"


async def preflight(cluster: Cluster, assignment: Assignment, graph: Graph, recorder: Recorder) -> tuple[Checked, ...]:
    """Check a target against a plan, changing nothing; return and record every finding.

    Raises ApiError when the cluster cannot be asked at all.
    """
    cluster = patient(cluster)
    target = await cluster.identity()
    found = [
        Checked(recorder.at, "reachable", Level.INFO, target.context, f"{target.server} runs {target.version}"),
    ]
    kinds = sorted({(step.ref.api_version, step.ref.kind) for step in assignment.steps})
    served: dict[tuple[str, str], Api] = {}
    for api_version, kind in kinds:
        try:
            served[api_version, kind] = await cluster.api(api_version, kind)
        except ApiError as error:
            if error.reason != "NoMatch":
                raise
    found += [
        Checked(recorder.at, UNREAD, Level.ERROR, str(d.where), d.cause, d.remedy)
        for d in graph.diagnostics
        if d.code in INCOMPLETE
    ]
    found += [Checked(recorder.at, *row) for row in _unserved(assignment.steps, served, graph, target.version)]
    found += [Checked(recorder.at, *row) for row in await _permissions(cluster, served.values())]
    found += [Checked(recorder.at, *row) for row in await _prerequisites(cluster, graph)]
    for check in found:
        recorder.emit(check)
    return tuple(found)


_Row = tuple[str, Level, str, str, str]


def _unserved(
    steps: Iterable[PlannedStep], served: dict[tuple[str, str], Api], graph: Graph, version: str
) -> Iterator[_Row]:
    brought = {graph.nodes[edge.after].ref for edge in graph.edges if edge.rule in _BRINGS}
    first: dict[tuple[str, str], PlannedStep] = {}
    for step in steps:
        key = (step.ref.api_version, step.ref.kind)
        if key not in served and step.ref not in brought:
            first.setdefault(key, step)
    for (api_version, kind), step in sorted(first.items()):
        cause = f"{kind} of {api_version} is not served by {version}, and nothing in the plan brings it ({step.where})"
        remedy = "install what brings it, or use a version that is served (convert: true in dr.yaml)"
        yield "served", Level.ERROR, f"{kind}.{api_version}", cause, remedy


async def _permissions(cluster: Cluster, apis: Iterable[Api]) -> list[_Row]:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def ask(api: Api, verb: str) -> str:
        attributes = {"group": api.group, "version": api.version, "resource": api.resource, "verb": verb}
        review: Body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        async with limit:
            answer = await cluster.create(review)
        allowed = mapping(answer, "status").get("allowed") is True
        return "" if allowed else f"{verb} {api.resource}{f'.{api.group}' if api.group else ''}"

    asked = [ask(api, verb) for api in sorted(set(apis), key=lambda a: (a.group, a.resource)) for verb in _VERBS]
    refused = sorted(filter(None, await asyncio.gather(*asked)))
    if not refused:
        return [("permissions", Level.INFO, "", f"{len(asked)} permissions granted", "")]
    remedy = "bind a ClusterRole with these verbs, or use a context that has them"
    return [("permissions", Level.ERROR, what, "not allowed in all namespaces", remedy) for what in refused]


async def _prerequisites(cluster: Cluster, graph: Graph) -> list[_Row]:
    needed = [node for node in graph.nodes if node.origin is Origin.MISSING]
    limit = asyncio.Semaphore(_AT_ONCE)

    async def look(node: Node) -> _Row | None:
        async with limit:
            there = await _there(cluster, node.ref)
        if there is None:
            return None
        level, cause = (Level.INFO, "is there") if there else (Level.ERROR, "is neither in git nor in the cluster")
        remedy = "" if there else "supply it first: dr plan names who needs it"
        return "prerequisite", level, str(node.ref), cause, remedy

    return [row for row in await asyncio.gather(*map(look, needed)) if row]


async def _there(cluster: Cluster, ref: Ref) -> bool | None:
    """Return whether a prerequisite is in the cluster; None for what no API can tell."""
    match ref.kind:
        case "SealingKey":
            return bool(await cluster.list("v1", "Secret", labels=_KEY_LABEL))
        case "API" | "Engine":
            return any(row["name"] == ref.name for row in await _groups(cluster))
        case "DecryptionKey" | "Chart":
            return None
    if ref.kind == "StorageClass" and not ref.name:
        return True
    version = ref.api_version if ref.group else _VERSIONS.get(ref.kind, "v1")
    return await cluster.get(Ref(version, ref.kind, ref.namespace, ref.name)) is not None


async def _groups(cluster: Cluster) -> list[dict[str, str]]:
    found = await cluster.list("apiregistration.k8s.io/v1", "APIService")
    return [{"name": text(item, "spec", "group")} for item in found]
