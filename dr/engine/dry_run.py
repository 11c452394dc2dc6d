"""What a restore would change, as the server itself answers, with nothing changed."""

from __future__ import annotations

import asyncio
from enum import StrEnum

from msgspec import Struct

from dr.core.errors import ApiError
from dr.core.events import Operation, PlannedStep
from dr.core.model import Ref
from dr.core.parity import Difference, differences
from dr.core.work import Assignment
from dr.engine.ports import Cluster

_AT_ONCE = 16


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


async def dry_run(cluster: Cluster, assignment: Assignment) -> tuple[Answered, ...]:
    """Apply every object as a dry run on the server; raises ApiError only when the server cannot be asked at all."""
    limit = asyncio.Semaphore(_AT_ONCE)
    comes = {step.ref for step in assignment.steps}
    kinds = {
        (str(work.body["spec"]["group"]), str(work.body["spec"]["names"]["kind"]))
        for work in assignment.work
        if work.body.get("kind") == "CustomResourceDefinition"
    }

    async def ask(index: int) -> Answered:
        step, work = assignment.steps[index], assignment.work[index]
        async with limit:
            try:
                live = await cluster.get(step.ref)
                would, operation = await cluster.apply(work.body, manager=work.manager, dry_run=True)
            except ApiError as error:
                if error.reason == "Unreachable":
                    raise
                later = _comes_later(error, step, comes, kinds)
                return Answered(step, Would.LATER if later else Would.REJECT, error.cause)
        if operation is Operation.CREATED or live is None:
            return Answered(step, Would.CREATE)
        changes = () if step.ref.kind == "Secret" else differences(would, live)
        return Answered(step, Would.CHANGE if changes else Would.KEEP, changes=changes)

    return tuple(await asyncio.gather(*(ask(index) for index in range(len(assignment.steps)))))


def _comes_later(error: ApiError, step: PlannedStep, comes: set[Ref], kinds: set[tuple[str, str]]) -> bool:
    if error.reason == "NoMatch":
        return (step.ref.group, step.ref.kind) in kinds
    return error.reason == "NotFound" and Ref("v1", "Namespace", "", step.ref.namespace) in comes
