"""Events of a gameday → the marks of its recovery, the time each part took, what was lost, and the verdict.

Definitions: docs/concepts/measuring.md. A figure's `error` is how much less it may have been: a probe
sees a change only when it asks, so each figure is the latest moment that its samples allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from dr.core.canary import lost_on_the_way
from dr.core.events import (
    Aborted,
    Activity,
    Announced,
    AnyEvent,
    Approved,
    Confirmed,
    Ended,
    Entered,
    Injected,
    Left,
    Mark,
    Marked,
    Moved,
    Objective,
    Phase,
    Probed,
    Survived,
    Undone,
)
from dr.core.losses import Loss, all_lost, loss, worst
from dr.core.outages import Moment, ProbeTime, probe_time
from dr.core.timeline import UnitTime, fold

PARTS = (
    ("detect", Mark.FAULT, Mark.DETECTED),
    ("decide", Mark.DETECTED, Mark.DECIDED),
    ("provision", Mark.DECIDED, Mark.INFRASTRUCTURE),
    ("control plane", Mark.INFRASTRUCTURE, Mark.CONTROL_PLANE),
    ("restore", Mark.CONTROL_PLANE, Mark.WORKLOADS),
    ("verify", Mark.WORKLOADS, Mark.RECOVERED),
)


class Part(Struct, frozen=True):
    """A part of the recovery and its seconds; `happened` is False where it did not occur in this kind of recovery."""

    name: str
    seconds: float
    happened: bool = True


class Judged(Struct, frozen=True):
    """An objective and what came of it. `actual` is None when it was not reached: more than `seconds` allowed."""

    objective: Objective
    actual: float | None
    error: float
    met: bool


class Recovery(Struct, frozen=True):
    """A gameday as it was measured. Times are seconds of the run; `censored` is the time after which it was given up.

    What probes saw once the exercise was over, while it was cleaned up, is no part of it.
    `impact` is False when no probe failed after the fault. `verdict`: met, missed, aborted, interrupted or not begun.
    """

    announced: Announced
    approved: tuple[Approved, ...]
    moments: Mapping[Mark, Moment]
    parts: tuple[Part, ...]
    rta: float | None
    error: float
    censored: float | None
    impact: bool
    probes: tuple[ProbeTime, ...]
    samples: tuple[Probed, ...]
    losses: tuple[Loss, ...]
    units: tuple[UnitTime, ...]
    objectives: tuple[Judged, ...]
    activities: tuple[Activity, ...]
    injected: tuple[Injected, ...]
    undone: tuple[Undone, ...]
    aborted: tuple[Aborted, ...]
    moved: tuple[Moved, ...]
    confirmed: tuple[Confirmed, ...]
    verdict: str

    @property
    def began(self) -> float:
        """When the fault's first call was sent, t0, in seconds of the run; 0 without a fault."""
        return self.injected[0].began if self.injected else 0.0

    @property
    def rpa(self) -> float | None:
        """The worst of the canaries' losses in seconds; None without a canary, or when one has none."""
        return worst(loss.rpa for loss in self.losses)

    @property
    def lost(self) -> int | None:
        """All canaries' lost writes; None without a canary, or when one was not counted."""
        return all_lost(self.losses)

    @property
    def left(self) -> tuple[Undone, ...]:
        """What could not be taken back, as far as it was tried last."""
        return tuple(undone for undone in {undone.fault: undone for undone in self.undone}.values() if undone.cause)


def recovery(events: Iterable[AnyEvent]) -> Recovery | None:
    """Return what a gameday's events tell, of any part of its log; None when they are not a gameday's."""
    told = tuple(events)
    announced = next((e for e in told if isinstance(e, Announced)), None)
    if announced is None:
        return None
    injected = tuple(e for e in told if isinstance(e, Injected))
    over, until = _over(told, announced, injected[0] if injected else None)
    samples = tuple(
        e for e in told[:over] if isinstance(e, Probed) and e.probe < len(announced.probes) and e.at <= until
    )
    ended = next((e for e in reversed(told) if isinstance(e, Ended)), None)
    units = fold(told).units
    fault = injected[0] if injected else None
    moments = {e.mark: Moment(e.mark, e.at, e.error, e.by) for e in told if isinstance(e, Marked)}
    probes = tuple(
        probe_time(probe, [s for s in samples if s.probe == index], fault, announced)
        for index, probe in enumerate(announced.probes)
    )
    impact = any(probe.outages for probe in probes)
    if fault:
        moments[Mark.FAULT] = Moment(Mark.FAULT, fault.began, 0.0, fault.fault)
        moments |= _seen(probes, fault, moments.get(Mark.WORKLOADS))
    parts, rta, error = _parts(moments, fault.at - fault.began if fault else 0.0)
    survived = {e.probe: e for e in told if isinstance(e, Survived)}
    counts = lost_on_the_way if announced.recovery == "forklift" else loss
    losses = tuple(
        counts(probe, [s for s in samples if s.probe == index], survived.get(index), fault)
        for index, probe in enumerate(announced.probes)
        if fault and probe.canary
    )
    judged = tuple(_judged(objective, rta, error, losses, units, fault, probes) for objective in announced.objectives)
    aborted = tuple(e for e in told if isinstance(e, Aborted))
    return Recovery(
        announced,
        tuple(e for e in told if isinstance(e, Approved)),
        moments,
        parts,
        rta,
        error,
        round(until - fault.began, 6) if fault and rta is None else None,  # to what events are told
        impact,
        probes,
        samples,
        losses,
        units,
        judged,
        tuple(e for e in told if isinstance(e, Activity)),
        injected,
        tuple(e for e in told if isinstance(e, Undone)),
        aborted,
        tuple(e for e in told if isinstance(e, Moved)),
        tuple(e for e in told if isinstance(e, Confirmed)),
        _verdict(ended, fault, rta, judged, aborted),
    )


def _over(told: Sequence[AnyEvent], announced: Announced, fault: Injected | None) -> tuple[int, float]:
    """Return up to which event, and which second of the run, an exercise is measured.

    It is over once the recovery was held, or it was aborted, or given up: what heals in the clean-up has not recovered,
    and what fails in it did not fail before.
    """
    if announced.recovery == "forklift":  # its end is its users', whatever was given up on the way
        return len(told), told[-1].at
    limit = fault.began + announced.timeout if fault and announced.timeout else float("inf")
    for index, event in enumerate(told):
        match event:
            case Left(at, Phase.HOLD):
                return index, at
            case Aborted(at) | Entered(at, Phase.CLEANUP):
                return index, min(at, limit)
    return len(told), min(told[-1].at, limit)


def _seen(probes: Sequence[ProbeTime], fault: Injected, workloads: Moment | None) -> dict[Mark, Moment]:
    """Return the marks that probes see: the first failure, and when the last of them was steady again."""
    found: dict[Mark, Moment] = {}
    first = min(((p.outages[0], p.probe.name) for p in probes if p.outages), key=lambda o: o[0].began, default=None)
    if first:
        outage, name = first
        found[Mark.IMPACT] = Moment(Mark.IMPACT, outage.began, outage.began - outage.earliest, name)
    recovered = [probe.recovered for probe in probes]
    if not recovered or None in recovered:
        return found
    # Users are served, and what serves them is whole: it is the later of the two, and was no earlier than either.
    # Without an impact the probes tell nothing of when redundancy was lost and came back: the workloads alone do.
    hit = [m for p, m in zip(probes, recovered, strict=True) if m and p.outages]
    moments = [*hit, *([workloads] if workloads else [])]
    if moments:
        last = max(moments, key=lambda m: m.at)
        at, earliest = max(last.at, fault.began), max(m.at - m.error for m in moments)
        found[Mark.RECOVERED] = Moment(Mark.RECOVERED, at, max(0.0, at - max(earliest, fault.began)), last.by)
    else:
        seen = max((m for m in recovered if m), key=lambda m: m.error)
        found[Mark.RECOVERED] = Moment(Mark.RECOVERED, fault.began, seen.error, "no probe failed")
    return found


def _parts(moments: Mapping[Mark, Moment], accepting: float) -> tuple[tuple[Part, ...], float | None, float]:
    """Return the parts of the recovery, its whole and the error of that; the parts sum to the whole.

    `accepting`: the seconds from the fault's first call to its acceptance; it struck within them.

    A mark that lies beyond its neighbours, such as a detector that fires after all is well, is moved to the nearer.
    """
    first, last = moments.get(Mark.FAULT), moments.get(Mark.RECOVERED)
    if first is None:
        return (), None, 0.0
    end = last.at if last else max(moment.at for mark, moment in moments.items() if mark is not Mark.CLEAN)
    parts = []
    at = first.at
    for name, _, mark in PARTS:
        moment = moments.get(mark)
        reached = end if mark is Mark.RECOVERED else min(max(at, moment.at), end) if moment else at
        parts.append(Part(name, reached - at, moment is not None))
        at = reached
    return tuple(parts), (last.at - first.at if last else None), (last.error if last else 0.0) + accepting


def _judged(
    objective: Objective,
    rta: float | None,
    error: float,
    losses: Sequence[Loss],
    units: Sequence[UnitTime],
    fault: Injected | None,
    probes: Sequence[ProbeTime],
) -> Judged:
    actual: float | None
    if objective.kind == "downtime":
        down = [probe.downtime for probe in probes]
        actual = None if fault is None or None in down else max((d for d in down if d is not None), default=0.0)
        error = max((probe.error for probe in probes), default=0.0)
    elif objective.kind == "lost":
        lost = all_lost(losses)
        actual, error = (None if lost is None else float(lost)), 0.0
    elif objective.kind == "rpo":
        actual = worst(item.rpa for item in losses)
        error = max((item.error for item in losses), default=0.0)
    elif objective.units:
        known = {unit.name: unit for unit in units}
        ends = [
            known[name].ended if name in known and known[name].outcome == "ready" else None for name in objective.units
        ]
        actual = None if fault is None or None in ends else max(end for end in ends if end is not None) - fault.began
        error = fault.at - fault.began if fault else 0.0
    else:
        actual = rta
    return Judged(objective, actual, error, actual is not None and actual <= objective.seconds)


def _verdict(
    ended: Ended | None, fault: Injected | None, rta: float | None, judged: Sequence[Judged], aborted: Sequence[Aborted]
) -> str:
    if ended is None or ended.outcome == "interrupted":
        return "interrupted"
    if aborted:
        return "aborted"
    if fault is None:
        return "not begun"
    return "met" if rta is not None and all(j.met for j in judged) and ended.outcome == "passed" else "missed"
