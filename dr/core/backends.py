"""Which Services of a restore can be waited for until they lead somewhere: what stands behind them is restored too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dr.core.body import get, mapping, text
from dr.core.events import PlannedStep
from dr.core.model import Body, Strength
from dr.core.work import Assignment

# Kinds whose pods Kubernetes itself starts; what others make of a pod template, their controller knows.
_WORKLOADS = frozenset({"DaemonSet", "Deployment", "Pod", "ReplicaSet", "ReplicationController", "StatefulSet"})
_Label = tuple[str, str, str]


def backends(assignment: Assignment) -> dict[int, tuple[int, ...]]:
    """Return the Services that must have ready endpoints before they count as ready, and the steps behind each.

    They are those with a selector that some step awaits `ready`, and of what their selector matches that which may
    come up before them: a workload that itself comes after what waits for the Service would wait for ever. Where
    nothing of the restore is left behind a Service, it is ready once stored: nobody here can say what will answer.
    """
    steps, bodies = assignment.steps, [work.body for work in assignment.work]
    following: dict[int, list[int]] = defaultdict(list)
    awaiting: dict[int, list[int]] = defaultdict(list)
    for index, step in enumerate(steps):
        for before, strength in zip(step.after, step.strengths, strict=True):
            following[before].append(index)
            if strength is Strength.READY:
                awaiting[before].append(index)
    wanted = {index: labels for index in awaiting if (labels := _selected(steps[index], bodies[index]))}
    carrying = _carrying(steps, bodies) if wanted else {}
    found = {}
    for index, labels in wanted.items():
        matching = set.intersection(*(carrying.get(label, set()) for label in labels))
        if left := matching - _after(awaiting[index], following):
            found[index] = tuple(sorted(left))
    return found


def _selected(step: PlannedStep, body: Body) -> list[_Label]:
    if (step.ref.group, step.ref.kind) != ("", "Service") or text(body, "spec", "type") == "ExternalName":
        return []
    return [(step.ref.namespace, key, str(value)) for key, value in mapping(body, "spec", "selector").items()]


def _carrying(steps: Sequence[PlannedStep], bodies: Sequence[Body]) -> dict[_Label, set[int]]:
    """Return by label the workloads whose pods carry it; those that may have no pods are not among them."""
    found: dict[_Label, set[int]] = defaultdict(set)
    asleep = _asleep(steps, bodies)
    for index, (step, body) in enumerate(zip(steps, bodies, strict=True)):
        known = step.ref.kind in _WORKLOADS and step.ref.group in ("", "apps")
        resting = get(body, "spec", "replicas") == 0 or (step.ref.kind, step.ref.namespace, step.ref.name) in asleep
        if known and not resting:
            pod = body if step.ref.kind == "Pod" else mapping(body, "spec", "template")
            for key, value in mapping(pod, "metadata", "labels").items():
                found[step.ref.namespace, key, str(value)].add(index)
    return found


def _asleep(steps: Sequence[PlannedStep], bodies: Sequence[Body]) -> set[_Label]:
    """Return the workloads that KEDA runs with no pods until there is work: its default."""
    targets = [
        (step.ref.namespace, mapping(body, "spec", "scaleTargetRef"))
        for step, body in zip(steps, bodies, strict=True)
        if (step.ref.group, step.ref.kind) == ("keda.sh", "ScaledObject") and not get(body, "spec", "minReplicaCount")
    ]
    return {(text(target, "kind") or "Deployment", home, text(target, "name")) for home, target in targets}


def _after(first: Sequence[int], following: dict[int, list[int]]) -> set[int]:
    seen, stack = set(first), list(first)
    while stack:
        for index in following.get(stack.pop(), ()):
            if index not in seen:
                seen.add(index)
                stack.append(index)
    return seen
