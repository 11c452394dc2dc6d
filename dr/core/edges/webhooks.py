"""Admission webhooks: every object that one would intercept comes after it, unless its backend needs the object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from dr.core.body import items, mapping, text
from dr.core.edges.references import where
from dr.core.model import Basis, Cycle, Diagnostic, Edge, Level, Resource, Strength
from dr.core.world import Found, World

_KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
# Never sent to webhooks: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers
_EXEMPT = frozenset(_KINDS) | {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
_WORKLOAD_PODS = "pods"


class _Hook(Struct):
    index: int
    position: int
    name: str
    fails: bool
    rules: list[tuple[frozenset[str], frozenset[str], str]]
    namespaces: dict[str, Any]
    objects: dict[str, Any]


def webhooks(world: World, edges: Iterable[Edge]) -> tuple[list[Found], list[Cycle]]:
    """Return the edges webhook → intercepted object (soft), and the cycles webhook ↔ own backend.

    `edges` are all edges known so far: what a webhook's backend needs cannot wait for the webhook,
    so those objects get no edge; where one of them is a pod of the backend itself, and the webhook
    fails closed, the cycle and the finding say that a lost backend cannot return by itself.
    """
    hooks = list(_hooks(world))
    if not hooks:
        return [], []
    before: dict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        before[edge.after].append(edge)
    labels = _namespace_labels(world)
    found: list[Found] = []
    cycles: list[Cycle] = []
    for hook in hooks:
        needed = _ancestors(hook.index, before)
        backends = {e.before: e for e in before[hook.index] if e.rule == "service-backend"}
        for index, resource in enumerate(world.resources):
            if not _intercepts(world, hook, index, resource, labels):
                continue
            edge = _interception(world, hook, index)
            if index not in needed:
                found.append(edge)
                before[index].append(edge)
            elif index in backends and hook.fails:
                cycles.append(Cycle((backends[index], edge), (edge,), deadlock=False))
                found.append(_deadlock(world, hook, index, edge))
    return found, cycles


def _interception(world: World, hook: _Hook, index: int) -> Edge:
    configuration = world.resources[hook.index]
    what = "checked" if configuration.ref.kind.startswith("Validating") else "changed"
    reason = f"is {what} on creation by webhook {hook.name}"
    place = where(configuration, ("webhooks", hook.position))
    return Edge(hook.index, index, Strength.SOFT, Basis.INFERRED, "webhook", reason, place)


def _deadlock(world: World, hook: _Hook, backend: int, edge: Edge) -> Diagnostic:
    name = str(world.nodes[backend].ref)
    deadly = "once all of them are lost, none can be created"
    cause = f"webhook {hook.name} (failurePolicy Fail) intercepts the pods of {name}, which answers it: {deadly}"
    remedy = "exclude the backend with namespaceSelector or objectSelector; to recover, delete the configuration first"
    return Diagnostic(edge.where, "webhook-deadlock", Level.WARNING, str(world.nodes[hook.index].ref), cause, remedy)


def _hooks(world: World) -> Iterator[_Hook]:
    for kind in _KINDS:
        for index in world.of_kind(kind):
            for position, hook in enumerate(items(world.resources[index].body, "webhooks")):
                rules = [
                    (_texts(rule, "apiGroups"), _resources(rule), text(rule, "scope") or "*")
                    for rule in items(hook, "rules")
                    if {"CREATE", "*"} & _texts(rule, "operations")
                ]
                if rules:
                    fails = (text(hook, "failurePolicy") or "Fail") == "Fail"
                    selectors = mapping(hook, "namespaceSelector"), mapping(hook, "objectSelector")
                    yield _Hook(index, position, text(hook, "name"), fails, rules, *selectors)


def _texts(rule: Any, field: str) -> frozenset[str]:
    return frozenset(value for value in items(rule, field) if isinstance(value, str))


def _resources(rule: Any) -> frozenset[str]:
    return frozenset(
        name.removesuffix("/*") for name in _texts(rule, "resources") if "/" not in name or name.endswith("/*")
    )


def _intercepts(
    world: World, hook: _Hook, index: int, resource: Resource, labels: dict[tuple[str, str], dict[str, str]]
) -> bool:
    ref, env = resource.ref, world.nodes[hook.index].env
    if index == hook.index or ref.kind in _EXEMPT or (env and resource.env not in (env, "")):
        return False
    forms = [(ref.group, world.plural(ref.group, ref.kind), mapping(resource.body, "metadata", "labels"))]
    if template := world.pods.get(index):
        forms.append(("", _WORKLOAD_PODS, mapping(template, "metadata", "labels")))
    scope = "Namespaced" if ref.namespace else "Cluster"
    for group, plural, own in forms:
        if not any(_covers(rule, group, plural, scope) for rule in hook.rules):
            continue
        if not _selects(hook.objects, own):
            continue
        namespace = ref.name if ref.kind == "Namespace" and not ref.group else ref.namespace
        home = {
            "kubernetes.io/metadata.name": namespace,
            **labels.get((resource.env, namespace), labels.get(("", namespace), {})),
        }
        if not namespace or _selects(hook.namespaces, home):
            return True
    return False


def _covers(rule: tuple[frozenset[str], frozenset[str], str], group: str, plural: str, scope: str) -> bool:
    groups, resources, wanted = rule
    return bool(groups & {"*", group}) and bool(resources & {"*", plural}) and wanted in ("*", scope)


def _namespace_labels(world: World) -> dict[tuple[str, str], dict[str, str]]:
    return {
        (r.env, r.ref.name): {key: str(value) for key, value in mapping(r.body, "metadata", "labels").items()}
        for i in world.of_kind("Namespace", "")
        for r in [world.resources[i]]
    }


def _selects(selector: dict[str, Any], labels: dict[str, Any]) -> bool:
    """Return whether a label selector matches, as the API server evaluates it."""
    for key, value in mapping(selector, "matchLabels").items():
        if str(labels.get(key, "")) != str(value) or key not in labels:
            return False
    return all(_expression(term, labels) for term in items(selector, "matchExpressions"))


def _expression(term: Any, labels: dict[str, Any]) -> bool:
    key, operator, values = text(term, "key"), text(term, "operator"), [str(value) for value in items(term, "values")]
    present = key in labels
    return {
        "In": present and str(labels.get(key)) in values,
        "NotIn": not present or str(labels.get(key)) not in values,
        "Exists": present,
        "DoesNotExist": not present,
    }.get(operator, False)


def _ancestors(index: int, before: dict[int, list[Edge]]) -> set[int]:
    seen, stack = {index}, [index]
    while stack:
        for edge in before.get(stack.pop(), ()):
            if edge.before not in seen:
                seen.add(edge.before)
                stack.append(edge.before)
    return seen
