"""Parity: what of the commit is missing, different or unhealthy in the cluster, and what nobody asked for."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence

from dr.core.body import mapping, text
from dr.core.errors import ApiError
from dr.core.events import Differs, PlannedStep
from dr.core.health import State, health
from dr.core.model import Body, Graph, Origin, Ref
from dr.core.parity import differences, extra
from dr.core.rules.readiness import ReadinessRule
from dr.core.work import Assignment, Work
from dr.engine.ports import Cluster
from dr.engine.recorder import Recorder

_AT_ONCE = 16
_SHOWN = 20


async def verify(
    cluster: Cluster,
    assignment: Assignment,
    graph: Graph,
    recorder: Recorder,
    rules: Sequence[ReadinessRule] = (),
) -> tuple[int, tuple[Differs, ...]]:
    """Compare the cluster with git; return how many objects were looked at and every difference, recorded too.

    A field that looks different is asked about by a dry run on the server, which knows what defaults and
    normal forms make of it. Raises ApiError.
    """
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
                found.append(Differs(recorder.at, step.ref, "unhealthy", "", "ready", verdict.message))
            if differences(work.body, body):
                doubtful.append((index, body))
        found += await _confirmed(cluster, assignment, doubtful, recorder)
        wanted = [assignment.steps[index].ref for index in indices]
        homes = {ref.namespace for ref in wanted}
        near = [b for b in listed if text(b, "metadata", "namespace") in homes]
        found += [Differs(recorder.at, ref, "extra") for ref in extra(wanted, near, derived)]
    for difference in found:
        recorder.emit(difference)
    return len(assignment.steps), tuple(found)


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
