"""Stops the workloads of a cluster in reverse restore order, consumers first, and starts them again if need be."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

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
# What would start workloads again: kind, and how it is told to rest and to go on.
_ENGINES: tuple[tuple[str, str, Body, Body], ...] = (
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", {"suspend": True}, {"suspend": None}),
    ("helm.toolkit.fluxcd.io/v2", "HelmRelease", {"suspend": True}, {"suspend": None}),
    ("argoproj.io/v1alpha1", "Application", {"syncPolicy": {"automated": None}}, {}),
)


async def drain(cluster: Scaling, assignment: Assignment, recorder: Recorder, limit: float) -> int:
    """Stop every workload of a commit; return how many there were.

    Each is stopped once everything that needs it is. GitOps engines rest first. Again, it changes nothing. Raises
    ToolError, naming what still runs after `limit` seconds.
    """
    await _engines(cluster, rest=True)
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
    """Start what `drain` has stopped, and have the engines go on; return how many workloads there were."""
    count = 0
    for ref in _workloads(assignment.steps):
        body = await cluster.get(ref)
        was = mapping(body or {}, "metadata", "annotations").get(MARK)
        if was is not None:
            await cluster.patch(ref, {"metadata": {"annotations": {MARK: None}}, "spec": _running(ref, str(was))})
            count += 1
    await _engines(cluster, rest=False)
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


async def _engines(cluster: Scaling, *, rest: bool) -> None:
    for api_version, kind, resting, going in _ENGINES:
        try:
            found = await cluster.list(api_version, kind)
        except ApiError as error:
            if error.reason != "NoMatch":
                raise
            continue
        spec = resting if rest else going
        for body in found if spec else ():
            metadata = mapping(body, "metadata")
            ref = Ref(api_version, kind, text(metadata, "namespace"), text(metadata, "name"))
            await cluster.patch(ref, {"spec": spec})
