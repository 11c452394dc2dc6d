"""Stops the workloads of a cluster in reverse restore order, consumers first, and starts them again if need be."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from dr.core.body import get, mapping, text
from dr.core.errors import ApiError, ToolError
from dr.core.events import Drained, PlannedStep
from dr.core.model import Body, Ref
from dr.core.work import Assignment
from dr.engine.ports import Scaling
from dr.engine.recorder import Recorder

MARK = "dr.dev/drained"
_EVERY = 0.2
_APPS, _BATCH = "apps/v1", "batch/v1"
_KINDS = {"Deployment": _APPS, "StatefulSet": _APPS, "DaemonSet": _APPS, "CronJob": _BATCH}
# What would start workloads again: its group and versions, newest first, its kind, the field that tells it to go on or
# to rest, and what that says at rest (None: it is not there).
_ENGINES: tuple[tuple[str, tuple[str, ...], str, tuple[str, ...], bool | None], ...] = (
    ("kustomize.toolkit.fluxcd.io", ("v1", "v1beta2", "v1beta1"), "Kustomization", ("spec", "suspend"), True),
    ("helm.toolkit.fluxcd.io", ("v2", "v2beta2", "v2beta1"), "HelmRelease", ("spec", "suspend"), True),
    ("argoproj.io", ("v1alpha1",), "Application", ("spec", "syncPolicy", "automated"), None),
)


async def drain(cluster: Scaling, assignment: Assignment, recorder: Recorder, limit: float) -> int:
    """Stop every workload of a commit; return how many there were.

    Each is stopped once everything that needs it is. GitOps engines rest first. Again, it changes nothing. Raises
    ToolError, naming what still runs after `limit` seconds.
    """
    for body, ref, field, resting in await _engines(cluster):
        if (was := get(body, *field)) != resting:  # what people have suspended is theirs, and keeps no mark
            mark = mapping(body, "metadata", "annotations").get(MARK, json.dumps(was))
            await cluster.patch(ref, {"metadata": {"annotations": {MARK: mark}}, **_at(field, resting)})
    steps = assignment.steps
    above: dict[int, list[int]] = defaultdict(list)
    for index, step in enumerate(steps):
        for before in step.after:
            above[before].append(index)
    stopped = [asyncio.Event() for _ in steps]
    count = 0

    async def one(index: int, step: PlannedStep) -> None:
        nonlocal count
        for other in above[index]:
            await stopped[other].wait()
        if step.ref.kind in _KINDS and step.ref.api_version == _KINDS[step.ref.kind]:
            count += await _stop(cluster, step.ref, recorder, limit)
        stopped[index].set()

    try:
        async with asyncio.TaskGroup() as tasks:
            for index, step in enumerate(steps):
                tasks.create_task(one(index, step))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return count


async def undrain(cluster: Scaling, assignment: Assignment) -> int:
    """Start what `drain` has stopped, and have the engines be as they were; return how many workloads there were."""
    count = 0
    for ref in _workloads(assignment.steps):
        body = await cluster.get(ref)
        was = mapping(body or {}, "metadata", "annotations").get(MARK)
        if was is not None:
            await cluster.patch(ref, {"metadata": {"annotations": {MARK: None}}, "spec": _running(ref, str(was))})
            count += 1
    for body, ref, field, _ in await _engines(cluster):
        was = mapping(body, "metadata", "annotations").get(MARK)
        if was is not None:
            await cluster.patch(ref, {"metadata": {"annotations": {MARK: None}}, **_at(field, json.loads(str(was)))})
    return count


def _workloads(steps: Sequence[PlannedStep]) -> list[Ref]:
    return [step.ref for step in steps if _KINDS.get(step.ref.kind) == step.ref.api_version]


async def _stop(cluster: Scaling, ref: Ref, recorder: Recorder, limit: float) -> int:
    body = await cluster.get(ref)
    if body is None:
        return 0
    if MARK not in mapping(body, "metadata", "annotations"):
        replicas = get(body, "spec", "suspend" if ref.kind == "CronJob" else "replicas")
        count = int(replicas) if isinstance(replicas, int) else int(ref.kind != "CronJob")
        await cluster.patch(ref, {"metadata": {"annotations": {MARK: str(count)}}, "spec": _stopped(ref)})
        recorder.emit(Drained(recorder.at, ref, count))
    until = recorder.at + limit
    while (body := await cluster.get(ref)) and (left := _left(body)):
        if recorder.at > until:
            raise ToolError(f"{ref} still runs {left} pods after {limit:g} s", "look at its pods, then drain again")
        await asyncio.sleep(_EVERY)
    return 1


def _left(body: Body) -> int:
    fields = ("replicas", "currentNumberScheduled")
    observed = get(body, "status", "observedGeneration")
    if text(body, "kind") == "CronJob":
        return 0
    if isinstance(observed, int) and observed < int(get(body, "metadata", "generation") or 0):
        return 1
    return max((int(get(body, "status", field) or 0) for field in fields), default=0)


def _stopped(ref: Ref) -> Body:
    return _REST.get(ref.kind, {"replicas": 0})


def _running(ref: Ref, was: str) -> Body:
    if ref.kind == "CronJob":
        return {"suspend": was == "1"}
    if ref.kind == "DaemonSet":
        return {"template": {"spec": {"nodeSelector": {MARK: None}}}}
    return {"replicas": int(was) if was.isdigit() else 1}


# A DaemonSet has no number: it wants nodes that there are none of.
_REST: Mapping[str, Body] = {
    "CronJob": {"suspend": True},
    "DaemonSet": {"template": {"spec": {"nodeSelector": {MARK: "true"}}}},
}


async def _engines(cluster: Scaling) -> list[tuple[Body, Ref, tuple[str, ...], bool | None]]:
    """Return every object of an engine, with the field by which it rests and what that says then."""
    known: list[tuple[Body, Ref, tuple[str, ...], bool | None]] = []
    for group, versions, kind, field, resting in _ENGINES:
        for version in versions:
            try:
                found = await cluster.list(f"{group}/{version}", kind)
            except ApiError as error:
                if error.reason != "NoMatch":
                    raise
                continue
            for body in found:
                metadata = mapping(body, "metadata")
                ref = Ref(f"{group}/{version}", kind, text(metadata, "namespace"), text(metadata, "name"))
                known.append((body, ref, field, resting))
            break
    return known


def _at(path: tuple[str, ...], value: Any) -> Body:
    """Return a patch that sets one field; None takes it away."""
    for key in reversed(path):
        value = {key: value}
    return dict(value)
