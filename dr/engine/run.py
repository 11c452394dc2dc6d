"""A run from preflight to verdict: what `dr restore` does to any cluster, and `dr rehearse` to a throw-away one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from dr.core.errors import LockError
from dr.core.events import (
    AnyEvent,
    Applied,
    Began,
    Checked,
    Differs,
    Ended,
    Failed,
    Phase,
    PlannedStep,
    Target,
    Verified,
)
from dr.core.model import Graph, Level
from dr.core.work import Assignment
from dr.engine.lock import HOLD, kept, same_cluster
from dr.engine.patient import patient
from dr.engine.ports import Cluster
from dr.engine.preflight import UNREAD, preflight
from dr.engine.recorder import Recorder
from dr.engine.restore import Gates, Outcome, Restore, Settings
from dr.engine.verify import verify

_PATIENCE = 15.0
_LEASE_PATIENCE = 5.0  # seconds; a Lease that is not renewed for 15 is lost


class Result(Struct, frozen=True):
    """How a run ended."""

    checks: tuple[Checked, ...] = ()
    outcome: Outcome | None = None
    compared: int = 0
    differences: tuple[Differs, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything of git is there, healthy and as git says; never when a part of git could not be read."""
        unread = [check for check in self.checks if check.check == UNREAD]
        return bool(self.outcome and self.outcome.passed and agrees(self.compared, self.differences, unread))


def agrees(compared: int, differences: Sequence[Differs], unread: Sequence[object]) -> bool:
    """Return whether a cluster is as git says: objects were compared, none differs, and no part of git was `unread`."""
    return bool(compared) and not unread and all(difference.what == "extra" for difference in differences)


def reasons(steps: Sequence[PlannedStep], failures: Sequence[Failed], result: Result, most: int = 3) -> str:
    """Say why a run did not pass, the first `most` of what went wrong, by name.

    `failures` are the run's; `steps` are those that they speak of.
    """
    found = [f"{steps[failed.step].ref} ({steps[failed.step].where}): {failed.cause}" for failed in failures]
    found += [f"{d.ref}: {d.what} {d.path}".strip() for d in result.differences if d.what != "extra"]
    found += [f"{check.subject}: {check.cause}" for check in result.checks if check.level is Level.ERROR]
    if not found:
        return "nothing of it could be compared with git"
    return "; ".join(found[:most]) + (f"; and {len(found) - most} more" if len(found) > most else "")


async def run(
    cluster: Cluster,
    began: Began,
    assignment: Assignment,
    graph: Graph,
    recorder: Recorder,
    settings: Settings,
    *,
    applied: Mapping[int, str] = {},
    force: bool = False,
    compare: bool = True,
    part: bool = False,
    gates: Gates = Gates(),  # noqa: B008 - frozen
) -> Result:
    """Check, restore and verify, holding the cluster's Lease.

    `applied`: what an interrupted run has done already. `force`: restore in spite of preflight errors, as a rehearsal
    does to see what comes of them. `compare`: verify at the end. `part`: a longer run goes on after it. `gates`: what
    else is done on the way.
    Raises LockError, ApiError, StoreError.
    """
    eager, cluster = cluster, patient(cluster)
    same_cluster(began.target, await cluster.identity())
    recorder.enter(Phase.PREFLIGHT)
    checks = await preflight(cluster, assignment, graph, recorder)
    recorder.leave(Phase.PREFLIGHT)
    if not force and any(check.level is Level.ERROR for check in checks):
        if not part:
            recorder.emit(Ended(recorder.at, outcome="failed"))
        return Result(checks)
    compared: int = 0
    differences: tuple[Differs, ...] = ()

    def say(what: str) -> None:
        recorder.emit(Checked(recorder.at, HOLD, Level.INFO, began.target.context, what))

    async with kept(patient(eager, _LEASE_PATIENCE), began.holder, recorder.clock, say=say) as hold:
        recorder.enter(Phase.RESTORE)
        outcome = await Restore(assignment, hold.guarded(cluster), recorder, settings, gates).run(applied)
        recorder.leave(Phase.RESTORE)
        if compare:
            recorder.enter(Phase.VERIFY)
            patience = _PATIENCE if outcome.passed else 0.0
            compared, differences = await verify(cluster, assignment, graph, recorder, settings.rules, patience)
            recorder.leave(Phase.VERIFY)
    result = Result(checks, outcome, compared, differences)
    if part:
        recorder.emit(Verified(recorder.at, compared))
    else:
        recorder.emit(Ended(recorder.at, outcome="passed" if result.passed else "failed", verified=compared))
    return result


def carried_over(events: Sequence[AnyEvent], target: Target, digest: str) -> dict[int, str]:
    """Return the steps that an interrupted run has applied, with the UIDs of their objects.

    Raises LockError when that run was about another cluster or another plan.
    """
    began = next((event for event in events if isinstance(event, Began)), None)
    if began is None:
        return {}
    same_cluster(began.target, target)
    if began.digest != digest:
        raise LockError(
            f"run {began.run} was made from another commit or with other options, so it cannot be resumed",
            "give the commit and options of that run, or start a new one without --resume",
        )
    return {event.step: event.uid for event in events if isinstance(event, Applied)}
