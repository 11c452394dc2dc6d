"""Parity: what of the commit is missing, different or unhealthy in the cluster, and what nobody asked for."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from dr.core.body import mapping, text
from dr.core.errors import ApiError
from dr.core.events import Differs, PlannedStep
from dr.core.health import Health, State, health
from dr.core.model import Body, Graph, Origin, Ref
from dr.core.parity import differences, extra
from dr.core.rules.readiness import ReadinessRule
from dr.core.work import Assignment, Work
from dr.engine.expecting import SLICE, Expecting
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
    scaled = _scaled(assignment, graph)
    judge = _Judge(assignment, cluster, rules)
    await judge.prepare()
    ailing: list[tuple[int, Health]] = []
    by_kind: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, step in enumerate(assignment.steps):
        by_kind[step.ref.api_version, step.ref.kind].append(index)
    found: list[Differs] = []
    asked = frozenset(node.ref for node in graph.nodes if node.origin is not Origin.MISSING)
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
            verdict = await judge.verdict(index, body)
            if verdict.state is not State.CURRENT:
                ailing.append((index, verdict))
            if differences(work.body, body, scaled=index in scaled):
                doubtful.append((index, body))
        found += await _confirmed(cluster, assignment, doubtful, recorder, scaled)
        wanted = [assignment.steps[index].ref for index in indices]
        homes = {ref.namespace for ref in wanted}
        near = [b for b in listed if text(b, "metadata", "namespace") in homes]
        found += [Differs(recorder.at, ref, "extra") for ref in extra(wanted, near, asked)]
    found += await _unhealthy(assignment.steps, judge, ailing, recorder, patience)
    for difference in found:
        recorder.emit(difference)
    return len(assignment.steps), tuple(found)


class _Judge:
    """Judges the objects of a restore by what the restore itself waits for."""

    def __init__(self, assignment: Assignment, cluster: Cluster, rules: Sequence[ReadinessRule]) -> None:
        self._steps = assignment.steps
        self._cluster = cluster
        self._rules = rules
        self._expecting = Expecting(assignment, cluster)

    async def prepare(self) -> None:
        """Learn what Services lead to, where some must lead somewhere."""
        if self._expecting.behind:
            for found in await self._cluster.list(*SLICE):
                self._expecting.saw(found, gone=False)

    async def verdict(self, index: int, body: Body) -> Health:
        """Return how the object of a step is."""
        return health(body, await self._expecting.of(index, body), self._rules)

    async def again(self, ailing: Sequence[tuple[int, Health]]) -> list[tuple[int, Health]]:
        """Look anew at objects that were not healthy; return those that still are not."""
        if any(index in self._expecting.behind for index, _ in ailing):
            await self.prepare()
        bodies = await asyncio.gather(*(self._cluster.get(self._steps[index].ref) for index, _ in ailing))
        judged = [
            (index, await self.verdict(index, body) if body else verdict)
            for (index, verdict), body in zip(ailing, bodies, strict=True)
        ]
        return [(index, verdict) for index, verdict in judged if verdict.state is not State.CURRENT]


def _scaled(assignment: Assignment, graph: Graph) -> set[int]:
    """Return the steps of workloads whose replicas an autoscaler of git sets, also one of a unit that is left out."""
    targets = (
        (mapping(work.body, "spec", "scaleTargetRef"), step.ref.namespace)
        for step, work in zip(assignment.steps, assignment.work, strict=True)
        if step.ref.kind in _SCALERS
    )
    names = {(text(target, "kind") or "Deployment", home, text(target, "name")) for target, home in targets}
    for edge in graph.edges:
        if graph.nodes[edge.after].ref.kind in _SCALERS:
            ref = graph.nodes[edge.before].ref
            names.add((ref.kind, ref.namespace, ref.name))
    refs = enumerate(step.ref for step in assignment.steps)
    return {index for index, ref in refs if (ref.kind, ref.namespace, ref.name) in names}


async def _unhealthy(
    steps: Sequence[PlannedStep],
    judge: _Judge,
    ailing: Sequence[tuple[int, Health]],
    recorder: Recorder,
    patience: float,
) -> list[Differs]:
    """Look again at what was not healthy until it is, or until `patience` is over."""
    until = recorder.at + patience
    left = list(ailing)
    while left and recorder.at < until:
        await asyncio.sleep(_LOOK_AGAIN)
        left = await judge.again(left)
    return [Differs(recorder.at, steps[i].ref, "unhealthy", "", "ready", verdict.message) for i, verdict in left]


async def _confirmed(
    cluster: Cluster,
    assignment: Assignment,
    doubtful: Sequence[tuple[int, Body]],
    recorder: Recorder,
    scaled: Collection[int],
) -> list[Differs]:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def ask(index: int, body: Body) -> list[Differs]:
        step, work = assignment.steps[index], assignment.work[index]
        async with limit:
            would = await _would_be(cluster, work)
        return list(_drift(step, work, body, would, recorder.at, scaled=index in scaled))

    return [d for rows in await asyncio.gather(*(ask(i, body) for i, body in doubtful)) for d in rows]


async def _would_be(cluster: Cluster, work: Work) -> Body | None:
    try:
        return (await cluster.apply(work.body, manager=work.manager, dry_run=True))[0]
    except ApiError:
        return None


def _drift(
    step: PlannedStep, work: Work, body: Body, would: Body | None, at: float, *, scaled: bool
) -> Iterator[Differs]:
    if would is not None and _said(would) == _said(body):
        return
    for difference in differences(work.body, body, scaled=scaled)[:_SHOWN]:
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
