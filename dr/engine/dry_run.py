"""What a restore would change, as the server itself answers, with nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from enum import StrEnum

from msgspec import Struct

from dr.core.body import text
from dr.core.errors import ApiError
from dr.core.events import Operation, PlannedStep
from dr.core.model import Body, Graph, Ref
from dr.core.parity import Difference, differences
from dr.core.work import Assignment
from dr.engine.patient import patient
from dr.engine.ports import Cluster
from dr.engine.preflight import brought

_AT_ONCE = 16
_PATIENCE = 10.0  # seconds: what a webhook keeps refusing is an answer, too


class Would(StrEnum):
    """What an apply would do."""

    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"
    LATER = "later"
    REJECT = "reject"


class Answered(Struct, frozen=True):
    """The server's answer to one step; `later`: its namespace or kind comes earlier in this very plan."""

    step: PlannedStep
    would: Would
    cause: str = ""
    changes: tuple[Difference, ...] = ()


async def dry_run(cluster: Cluster, assignment: Assignment, graph: Graph) -> tuple[Answered, ...]:
    """Apply every object as a dry run on the server; raises ApiError only when the server cannot be asked at all."""
    cluster = patient(cluster, _PATIENCE)
    limit = asyncio.Semaphore(_AT_ONCE)
    comes = {step.ref for step in assignment.steps}
    kinds = {
        (text(work.body, "spec", "group"), text(work.body, "spec", "names", "kind"))
        for work in assignment.work
        if work.body.get("kind") == "CustomResourceDefinition"
    }

    coming = brought(graph)

    async def ask(index: int) -> Answered:
        step, work = assignment.steps[index], assignment.work[index]
        async with limit:
            try:
                live = await cluster.read(step.ref)
                would, operation = await cluster.apply(work.body, manager=work.manager, dry_run=True)
            except ApiError as error:
                if error.reason == "Unreachable":
                    raise
                later = _comes_later(error, step, comes, kinds, coming)
                return Answered(step, Would.LATER if later else Would.REJECT, error.cause)
        if operation is Operation.CREATED or live is None:
            return Answered(step, Would.CREATE)
        changes = changed(live, would)
        return Answered(step, Would.CHANGE if changes else Would.KEEP, changes=changes)

    return tuple(await asyncio.gather(*(ask(index) for index in range(len(assignment.steps)))))


def changed(live: Body, would: Body) -> tuple[Difference, ...]:
    """Return what an object would say differently, also what it would say no more; a Secret's values are not shown.

    Both are as the server writes them, so that what git leaves out and the server fills in is in both.
    """
    gone = (Difference(d.path, d.found, d.wanted) for d in differences(live, would))
    return tuple(sorted({*differences(would, live), *gone}))


def _comes_later(
    error: ApiError,
    step: PlannedStep,
    comes: Collection[Ref],
    kinds: Collection[tuple[str, str]],
    coming: Collection[Ref],
) -> bool:
    if error.reason == "NoMatch":
        return (step.ref.group, step.ref.kind) in kinds or step.ref in coming
    return error.reason == "NotFound" and Ref("v1", "Namespace", "", step.ref.namespace) in comes
