"""What can be known before anything is changed: identity, permissions, served kinds, prerequisites."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from dr.core.backends import backends
from dr.core.body import home_group, mapping, text
from dr.core.errors import ApiError
from dr.core.events import Checked, PlannedStep
from dr.core.model import Body, Graph, Level, Origin, Ref
from dr.core.rules.builtin import BUILTIN_KINDS
from dr.core.rules.findings import INCOMPLETE
from dr.core.work import Assignment
from dr.engine.expecting import SLICE
from dr.engine.lock import RESTORE
from dr.engine.patient import patient
from dr.engine.ports import Api, Cluster
from dr.engine.recorder import Recorder

UNREAD = "read"
_VERBS = ("create", "get", "list", "patch", "watch")
# A role may name the Lease, but for its creation: https://kubernetes.io/docs/reference/access-authn-authz/rbac
_LEASE = (("create", ""), ("delete", RESTORE), ("get", RESTORE), ("update", RESTORE))
_AT_ONCE = 16
_BRINGS = frozenset({"crd", "chart-crd", "chart-stack"})
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
    asks = await _asks(cluster, assignment, served.values())
    found += [Checked(recorder.at, *row) for row in await _permissions(cluster, asks)]
    found += [Checked(recorder.at, *row) for row in await _prerequisites(cluster, graph)]
    for check in found:
        recorder.emit(check)
    return tuple(found)


def brought(graph: Graph) -> frozenset[Ref]:
    """Return the objects whose kind something in the plan brings: a CRD of git, or a chart."""
    return frozenset(graph.nodes[edge.after].ref for edge in graph.edges if edge.rule in _BRINGS)


_Row = tuple[str, Level, str, str, str]


def _unserved(
    steps: Iterable[PlannedStep], served: dict[tuple[str, str], Api], graph: Graph, version: str
) -> Iterator[_Row]:
    coming = brought(graph)
    first: dict[tuple[str, str], PlannedStep] = {}
    for step in steps:
        key = (step.ref.api_version, step.ref.kind)
        if key not in served and step.ref not in coming:
            first.setdefault(key, step)
    for (api_version, kind), step in sorted(first.items()):
        cause = f"{kind} of {api_version} is not served by {version}, and nothing in the plan brings it ({step.where})"
        remedy = "install what brings it, or use a version that is served (convert: true in dr.yaml)"
        yield "served", Level.ERROR, f"{kind}.{api_version}", cause, remedy


class _Ask(Struct, frozen=True, order=True):
    """A permission; `namespace` "" is in all of them, `name` "" for every object."""

    group: str
    resource: str
    version: str
    verb: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


async def _asks(cluster: Cluster, assignment: Assignment, apis: Iterable[Api]) -> set[_Ask]:
    """Return what a run must be allowed to do: apply its kinds, watch what comes of them, hold its Lease."""
    asks = {_Ask(api.group, api.resource, api.version, verb) for api in apis for verb in _VERBS}
    seen = {(made.api_version, made.kind) for work in assignment.work for made in work.makes}
    for api_version, kind in seen | ({SLICE} if backends(assignment) else set()):
        try:
            api = await cluster.api(api_version, kind)
        except ApiError as error:
            if error.reason != "NoMatch":
                raise
        else:
            asks |= {_Ask(api.group, api.resource, api.version, verb) for verb in ("list", "watch")}
    return asks | {_Ask("coordination.k8s.io", "leases", "v1", verb, "kube-system", name) for verb, name in _LEASE}


async def _permissions(cluster: Cluster, asks: Collection[_Ask]) -> list[_Row]:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def allowed(ask: _Ask) -> bool:
        attributes = {"group": ask.group, "version": ask.version, "resource": ask.resource, "verb": ask.verb}
        review: Body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**attributes, "namespace": ask.namespace, "name": ask.name}},
        }
        async with limit:
            answer = await cluster.create(review)
        return mapping(answer, "status").get("allowed") is True

    asked = sorted(asks)
    answers = await asyncio.gather(*map(allowed, asked))
    refused = [ask for ask, answer in zip(asked, answers, strict=True) if not answer]
    if not refused:
        return [("permissions", Level.INFO, "", f"{len(asked)} permissions granted", "")]
    remedy = "bind a role with these verbs, or use a context that has them"
    return [
        ("permissions", Level.ERROR, str(ask), f"not allowed in {ask.namespace or 'all namespaces'}", remedy)
        for ask in sorted(refused, key=str)
    ]


async def _prerequisites(cluster: Cluster, graph: Graph) -> list[_Row]:
    needed = [node.ref for node in graph.nodes if node.origin is Origin.MISSING]
    served: dict[str, list[Api]] = defaultdict(list)
    for api in await cluster.kinds() if needed else ():
        served[api.kind].append(api)
    limit = asyncio.Semaphore(_AT_ONCE)

    async def look(ref: Ref) -> _Row | None:
        async with limit:
            there = await _there(cluster, ref, served)
        if there is None:
            return None
        level, cause = (Level.INFO, "is there") if there else (Level.ERROR, "is neither in git nor in the cluster")
        if there and ref.kind == "SealingKey":
            cause = "one is there: whether it opens what this repo has sealed, only its controller can tell"
        remedy = "" if there else "supply it first: dr plan names who needs it"
        return "prerequisite", level, str(ref), cause, remedy

    return [row for row in await asyncio.gather(*map(look, needed)) if row]


async def _there(cluster: Cluster, ref: Ref, served: Mapping[str, Sequence[Api]]) -> bool | None:
    """Return whether a prerequisite is in the cluster; None for what no API can tell.

    A reference rarely says which API group it means, and never which version: what the server serves decides.
    """
    match ref.kind:
        case "SealingKey":
            return bool(await cluster.list("v1", "Secret", labels=_KEY_LABEL))
        case "API" | "Engine":
            return any(row["name"] == ref.name for row in await _groups(cluster))
        case "DecryptionKey" | "Chart":
            return None
    if ref.kind == "StorageClass" and not ref.name:
        return True
    group = None if not ref.group and f"/{ref.kind}" not in BUILTIN_KINDS else home_group(ref.group, ref.kind)
    apis = [api for api in served.get(ref.kind, ()) if group in (None, api.group)]
    meant = [
        Ref(api.api_version, api.kind, ref.namespace if api.namespaced else "", ref.name)
        for api in apis
        if ref.namespace or not api.namespaced
    ]
    if not meant:
        return None
    return any([await cluster.get(found) is not None for found in meant])


async def _groups(cluster: Cluster) -> list[dict[str, str]]:
    found = await cluster.list("apiregistration.k8s.io/v1", "APIService")
    return [{"name": text(item, "spec", "group")} for item in found]
