"""Custom resources: the CRD that must be established, and the controller that must be ready."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from dr.core.body import items, text
from dr.core.edges.charts import Release, brings, serves
from dr.core.model import Basis, Diagnostic, Edge, Level, Resource, Strength
from dr.core.rules.builtin import BUILTIN_GROUPS, GITOPS_GROUPS
from dr.core.rules.rows import Chart
from dr.core.world import Found, Need, World

_EVERYTHING = "*"
_SERVING = frozenset({"controller", "chart-controller"})
# Kinds in an engine's API group that another controller serves, which the engine may well install.
_NOT_THE_ENGINE = frozenset(
    {
        "AnalysisTemplate",
        "ClusterAnalysisTemplate",
        "ClusterWorkflowTemplate",
        "CronWorkflow",
        "EventBus",
        "EventSource",
        "Rollout",
        "Sensor",
        "Workflow",
        "WorkflowTemplate",
    }
    | {"FluxInstance", "FluxReport", "ResourceSet", "ResourceSetInputProvider"}
)
# What a role must allow to be the controller of a kind, strongest sign first.
_SIGNS: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    (("/status", "/finalizers"), frozenset({"update", "patch", "*"})),
    (("",), frozenset({"watch", "*"})),
)


def custom_resources(world: World, installed: tuple[Release, ...]) -> Iterator[Found]:
    """Yield, for each object of an API that Kubernetes does not serve itself, what it comes after.

    Its CRD (or the release of a chart that brings it) must be there, its controller ready. An
    engine that would have to install itself is no edge but a prerequisite.
    """
    controllers = _Controllers(world)
    unserved: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index, resource in enumerate(world.resources):
        group, kind = resource.ref.group, resource.ref.kind
        if group in BUILTIN_GROUPS:
            continue
        engine = group in GITOPS_GROUPS and kind not in _NOT_THE_ENGINE
        charts = [] if engine else _seen(world, index, installed)
        crd = world.find(resource.env, "CustomResourceDefinition", "", _crd_name(world, group, kind))
        found = [*_api(index, resource, crd, charts, engine=engine), *_controlled(world, index, controllers, charts)]
        yield from found
        if crd and not any(isinstance(item, Edge) and item.rule in _SERVING for item in found):
            unserved[resource.env, group, kind].append(index)
    yield from _unserved(world, unserved)
    yield from _stacked(world, installed)
    yield from _watched(world, controllers)


def _watched(world: World, controllers: _Controllers) -> Iterator[Edge]:
    """Yield, softly, each CRD before the workloads that serve it: without it they crash and back off."""
    for (group, kind), index in sorted(world.crds.items()):
        crd = world.resources[index]
        for workload in controllers.serving(crd.env, group, kind):
            reason = f"watches {kind}, which the CRD defines"
            where = world.resources[workload].where
            yield Edge(index, workload, Strength.SOFT, Basis.INFERRED, "watches", reason, where)


def _stacked(world: World, installed: tuple[Release, ...]) -> Iterator[Edge]:
    """Yield, for a release that serves an API whose CRDs another chart brings, that other release first."""
    for release in installed:
        served = () if release.known is None else release.known.serves
        for group in served:
            if release.known and brings(release.known, group):
                continue
            for other, chart in _seen(world, release.index, installed):
                if brings(chart, group):
                    where = world.resources[release.index].where
                    reason = f"serves the API {group}, whose CRDs chart {other.chart} brings"
                    yield Edge(other.index, release.index, Strength.READY, Basis.INFERRED, "chart-stack", reason, where)


def _api(
    index: int, resource: Resource, crd: list[int], charts: list[tuple[Release, Chart]], *, engine: bool
) -> Iterator[Edge | Need]:
    kind, group, where = resource.ref.kind, resource.ref.group, resource.where
    for target in crd:
        reason = f"is a {kind}, which the CRD defines"
        yield Edge(target, index, Strength.READY, Basis.REFERENCE, "crd", reason, where)
    bringing = [] if crd else [release for release, chart in charts if brings(chart, group)]
    for release in bringing:
        reason = f"is a {kind}, whose CRD chart {release.chart} brings"
        yield Edge(release.index, index, Strength.READY, Basis.INFERRED, "chart-crd", reason, where)
    if not crd and not bringing:
        rule, reason = "engine" if engine else "api", f"is a {kind} of API"
        yield Need("API", "", "", group, index, Strength.READY, Basis.REFERENCE, rule, reason, where)


def _controlled(
    world: World, index: int, controllers: _Controllers, charts: list[tuple[Release, Chart]]
) -> Iterator[Edge]:
    resource = world.resources[index]
    kind, group = resource.ref.kind, resource.ref.group
    workloads = [workload for workload in controllers.of(resource) if workload != index]
    for workload in workloads:
        reason = f"is a {kind}, which {world.nodes[workload].ref.name} serves by its RBAC"
        yield Edge(workload, index, Strength.READY, Basis.INFERRED, "controller", reason, resource.where)
    for release in [] if workloads else [release for release, chart in charts if serves(chart, group)]:
        reason = f"is a {kind}, which the controller of chart {release.chart} serves"
        yield Edge(release.index, index, Strength.READY, Basis.INFERRED, "chart-controller", reason, resource.where)


def _unserved(world: World, without: Mapping[tuple[str, str, str], list[int]]) -> Iterator[Diagnostic]:
    for (_, group, kind), indices in sorted(without.items()):
        resource = world.resources[indices[0]]
        many = f"{len(indices)} object{'s' if len(indices) > 1 else ''}"
        cause = f"the CRD of {kind}.{group} is in git, but no workload's RBAC shows that it acts on its {many}"
        remedy = f"check that a controller of {group} comes back with the cluster"
        yield Diagnostic(resource.where, "no-controller", Level.WARNING, str(resource.ref), cause, remedy)


def _seen(world: World, index: int, installed: tuple[Release, ...]) -> list[tuple[Release, Chart]]:
    """Return the releases of catalogued charts in the object's environment, itself not counted."""
    env = world.nodes[index].env
    return [
        (release, release.known)
        for release in installed
        if release.known and release.index != index and (not env or world.nodes[release.index].env in (env, ""))
    ]


def _crd_name(world: World, group: str, kind: str) -> str:
    index = world.crds.get((group, kind))
    return world.nodes[index].ref.name if index is not None else ""


class _Controllers:
    """Which workloads act on a kind, read from their ServiceAccounts' roles."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rules = _rules_of_workloads(world)
        self._known: dict[tuple[str, str, str], list[int]] = {}

    def of(self, resource: Resource) -> list[int]:
        """Return the workloads that serve the resource's kind, by the strongest sign that any of them shows."""
        return self.serving(resource.env, resource.ref.group, resource.ref.kind)

    def serving(self, env: str, group: str, kind: str) -> list[int]:
        """Return the workloads that serve a kind in an environment."""
        key = (env, group, kind)
        if key not in self._known:
            plural = self._world.plural(group, kind)
            self._known[key] = []
            for suffixes, verbs in _SIGNS:
                found = sorted(
                    w
                    for w, rules in self._rules.items()
                    if self._same(w, env) and _allows(rules, group, plural, suffixes, verbs)
                )
                if found:
                    self._known[key] = found
                    break
        return self._known[key]

    def _same(self, workload: int, env: str) -> bool:
        return not env or self._world.nodes[workload].env in (env, "")


_Rule = tuple[frozenset[str], frozenset[str], frozenset[str]]


def _allows(rules: list[_Rule], group: str, plural: str, suffixes: tuple[str, ...], verbs: frozenset[str]) -> bool:
    # A rule for every API group is an administrator's, not a controller's.
    wanted = {_EVERYTHING, *(f"{plural}{suffix}" for suffix in suffixes), *(f"*{suffix}" for suffix in suffixes)}
    return any(group in groups and resources & wanted and allowed & verbs for groups, resources, allowed in rules)


def _rules_of_workloads(world: World) -> dict[int, list[_Rule]]:
    accounts: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index, template in world.pods.items():
        account = text(template, "spec", "serviceAccountName") or text(template, "spec", "serviceAccount") or "default"
        accounts[world.nodes[index].env, world.nodes[index].ref.namespace, account].append(index)
    found: dict[int, list[_Rule]] = defaultdict(list)
    for index in (*world.of_kind("ClusterRoleBinding"), *world.of_kind("RoleBinding")):
        binding = world.resources[index]
        rules = _rules_of_binding(world, binding)
        for subject in items(binding.body, "subjects") if rules else ():
            namespace = text(subject, "namespace") or binding.ref.namespace
            for env in {binding.env, ""}:
                for workload in accounts.get((env, namespace, text(subject, "name")), ()):
                    found[workload].extend(rules)
    return found


def _rules_of_binding(world: World, binding: Resource) -> list[_Rule]:
    kind, name = text(binding.body, "roleRef", "kind"), text(binding.body, "roleRef", "name")
    return [
        (_texts(rule, "apiGroups"), _texts(rule, "resources"), _texts(rule, "verbs"))
        for index in world.find(binding.env, kind, binding.ref.namespace, name)
        if index < len(world.resources)
        for rule in items(world.resources[index].body, "rules")
    ]


def _texts(rule: object, field: str) -> frozenset[str]:
    return frozenset(value for value in items(rule, field) if isinstance(value, str))
