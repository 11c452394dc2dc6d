"""Parity: what of the commit is missing, different or unhealthy in the cluster, and what nobody asked for."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence

from dr.core.body import mapping, text
from dr.core.errors import ApiError
from dr.core.events import Differs, PlannedStep
from dr.core.health import Health, State, health
from dr.core.model import Body, Graph, Origin, Ref
from dr.core.parity import differences, extra
from dr.core.rules.readiness import ReadinessRule
from dr.core.work import Assignment, Work
from dr.engine.patient import patient
from dr.engine.ports import Cluster
from dr.engine.recorder import Recorder

_AT_ONCE = 16
_SHOWN = 20
_LOOK_AGAIN = 0.5
_SCALERS = frozenset({"HorizontalPodAutoscaler", "ScaledObject"})


async def verify(
    cluster: Cluster,
    assignment: Assignment,
    graph: Graph,
    recorder: Recorder,
    rules: Sequence[ReadinessRule] = (),
    patience: float = 0.0,
) -> tuple[int, tuple[Differs, ...]]:
    """Compare the cluster with git; return how many objects were looked at and every difference, recorded too.

    A field that looks different is asked about by a dry run on the server, which knows what defaults and
    normal forms make of it. What is not healthy is given `patience` seconds: an autoscaler may just have begun its
    work. Raises ApiError.
    """
    cluster = patient(cluster)
    scaled = _scaled(assignment)
    ailing: list[tuple[PlannedStep, Health]] = []
    by_kind: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, step in enumerate(assignment.steps):
        by_kind[step.ref.api_version, step.ref.kind].append(index)
    found: list[Differs] = []
    derived = frozenset(node.ref for node in graph.nodes if node.origin is Origin.DERIVED)
    for (api_version, kind), indices in sorted(by_kind.items()):
        try:
            listed = await cluster.list(api_version, kind, whole=True)
        except ApiError as error:
            if error.reason != "NoMatch":
                raise
            listed = ()
        live = {(text(b, "metadata", "namespace"), text(b, "metadata", "name")): b for b in listed}
        doubtful: list[tuple[int, Body]] = []
        for index in indices:
            step, work = assignment.steps[index], assignment.work[index]
            body = live.get((step.ref.namespace, step.ref.name))
            if body is None:
                found.append(Differs(recorder.at, step.ref, "missing"))
                continue
            verdict = health(body, rules=rules)
            if verdict.state is not State.CURRENT:
                ailing.append((step, verdict))
            if differences(work.body, body, scaled=(step.ref.kind, step.ref.namespace, step.ref.name) in scaled):
                doubtful.append((index, body))
        found += await _confirmed(cluster, assignment, doubtful, recorder)
        wanted = [assignment.steps[index].ref for index in indices]
        homes = {ref.namespace for ref in wanted}
        near = [b for b in listed if text(b, "metadata", "namespace") in homes]
        found += [Differs(recorder.at, ref, "extra") for ref in extra(wanted, near, derived)]
    found += await _unhealthy(cluster, ailing, recorder, rules, patience)
    for difference in found:
        recorder.emit(difference)
    return len(assignment.steps), tuple(found)


def _scaled(assignment: Assignment) -> set[tuple[str, str, str]]:
    """Return the workloads whose replicas an autoscaler of git sets."""
    targets = (
        (mapping(work.body, "spec", "scaleTargetRef"), step.ref.namespace)
        for step, work in zip(assignment.steps, assignment.work, strict=True)
        if step.ref.kind in _SCALERS
    )
    return {(text(target, "kind") or "Deployment", home, text(target, "name")) for target, home in targets}


async def _unhealthy(
    cluster: Cluster,
    ailing: Sequence[tuple[PlannedStep, Health]],
    recorder: Recorder,
    rules: Sequence[ReadinessRule],
    patience: float,
) -> list[Differs]:
    """Look again at what was not healthy until it is, or until `patience` is over."""
    until = recorder.at + patience
    left = list(ailing)
    while left and recorder.at < until:
        await asyncio.sleep(_LOOK_AGAIN)
        bodies = await asyncio.gather(*(cluster.get(step.ref) for step, _ in left))
        judged = [
            (step, health(body, rules=rules) if body else verdict)
            for (step, verdict), body in zip(left, bodies, strict=True)
        ]
        left = [(step, verdict) for step, verdict in judged if verdict.state is not State.CURRENT]
    return [Differs(recorder.at, step.ref, "unhealthy", "", "ready", verdict.message) for step, verdict in left]


async def _confirmed(
    cluster: Cluster, assignment: Assignment, doubtful: Sequence[tuple[int, Body]], recorder: Recorder
) -> list[Differs]:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def ask(index: int, body: Body) -> list[Differs]:
        step, work = assignment.steps[index], assignment.work[index]
        async with limit:
            would = await _would_be(cluster, work)
        return list(_drift(step, work, body, would, recorder.at))

    return [d for rows in await asyncio.gather(*(ask(i, body) for i, body in doubtful)) for d in rows]


async def _would_be(cluster: Cluster, work: Work) -> Body | None:
    try:
        return (await cluster.apply(work.body, manager=work.manager, dry_run=True))[0]
    except ApiError:
        return None


def _drift(step: PlannedStep, work: Work, body: Body, would: Body | None, at: float) -> Iterator[Differs]:
    if would is not None and _said(would) == _said(body):
        return
    for difference in differences(work.body, body)[:_SHOWN]:
        yield Differs(at, step.ref, "different", difference.path, difference.wanted, difference.found)


def _said(body: Body) -> Body:
    """Return what an object says, without what the server writes about it."""
    metadata = {
        key: value
        for key, value in mapping(body, "metadata").items()
        if key not in ("managedFields", "resourceVersion", "generation")
    }
    return {**body, "metadata": metadata, "status": None}


def summary(differences: Sequence[Differs]) -> dict[str, int]:
    """Return how many objects are missing, extra, different and unhealthy."""
    refs: dict[str, set[Ref]] = defaultdict(set)
    for difference in differences:
        refs[difference.what].add(difference.ref)
    return {what: len(refs[what]) for what in ("missing", "different", "unhealthy", "extra")}
