"""A run as a Chrome trace, for Perfetto or chrome://tracing: a lane for each concurrent unit, spans that nest.

Source: the Trace Event Format; `X` is a span, `i` an instant, `M` a name; times are whole microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from dr.core.recovery import Recovery
from dr.core.timeline import StepTime, Timeline
from dr.report.data import Data, compact

_MICRO = 1e6
_RUN, _RESTORE, _PROBES, _EXPERIMENT = range(1, 5)
_NAMES = {
    _RUN: "run",
    _RESTORE: "restore, a lane for each concurrent unit",
    _PROBES: "probes",
    _EXPERIMENT: "experiment",
}


class Bar(Struct, frozen=True):
    """A span from `began` to `ended`, in seconds of the run, and what lies within it."""

    name: str
    began: float
    ended: float
    category: str
    told: Data = {}
    within: tuple[Bar, ...] = ()


def trace(timeline: Timeline, recovery: Recovery | None = None) -> bytes:
    """Return a run as a Chrome trace in JSON; the spans of a lane are disjoint or lie within each other."""
    events = [*_phases(timeline), *_units(timeline), *(_gameday(timeline, recovery) if recovery else ())]
    used = {event["pid"] for event in events}
    names = [_meta(pid, 0, "process_name", name) for pid, name in _NAMES.items() if pid in used]
    order = [
        {"ph": "M", "pid": pid, "tid": 0, "ts": 0, "name": "process_sort_index", "args": {"sort_index": pid}}
        for pid in sorted(used)
    ]
    began = timeline.began
    about = {"run": began.run, "time": began.time, "dr": began.dr} if began else {}
    return compact({"displayTimeUnit": "ms", "otherData": about, "traceEvents": [*names, *order, *events]})


def _meta(pid: int, tid: int, what: str, name: str) -> Data:
    return {"ph": "M", "pid": pid, "tid": tid, "ts": 0, "name": what, "args": {"name": name}}


def _drawn(bar: Bar, pid: int, tid: int) -> Iterator[Data]:
    """Yield a bar and what lies within it; both ends are rounded by themselves, so that nesting outlives rounding."""
    began, ended = round(bar.began * _MICRO), round(bar.ended * _MICRO)
    event = {
        "ph": "X",
        "pid": pid,
        "tid": tid,
        "ts": began,
        "dur": ended - began,
        "name": bar.name,
        "cat": bar.category,
    }
    yield {**event, "args": bar.told} if bar.told else event
    for inner in bar.within:
        yield from _drawn(inner, pid, tid)


def lanes(bars: Iterable[Bar]) -> list[list[Bar]]:
    """Return bars in as few lanes as will do, so that in none of them two bars overlap."""
    found: list[list[Bar]] = []
    for bar in sorted(bars, key=lambda b: (b.began, b.ended, b.name)):
        lane = next((lane for lane in found if lane[-1].ended <= bar.began), None)
        if lane is None:
            found.append([bar])
        else:
            lane.append(bar)
    return found


def _lanes(bars: Iterable[Bar], pid: int, name: str) -> Iterator[Data]:
    for number, lane in enumerate(lanes(bars), 1):
        yield _meta(pid, number, "thread_name", f"{name} {number}")
        for bar in lane:
            yield from _drawn(bar, pid, number)


def _phases(timeline: Timeline) -> Iterator[Data]:
    spans = (Bar(span.phase.value, span.began, max(span.began, span.ended), "phase") for span in timeline.phases)
    yield from _lanes(spans, _RUN, "phases")


def _units(timeline: Timeline) -> Iterator[Data]:
    """Yield the units; one whose steps run at the same time has as many lanes as it has steps at once."""
    steps: dict[str, list[Bar]] = {}
    critical = {link.step for link in timeline.chain}
    for index, step in enumerate(timeline.steps):
        if step.started is not None:
            steps.setdefault(step.step.unit or "objects", []).append(_step(step, timeline.duration, index in critical))
    blocks = []
    for unit, bars in steps.items():
        whole = max(bar.ended for bar in bars)
        for number, lane in enumerate(lanes(bars)):
            until = lane[-1].ended if number else whole
            told = {"objects": len(bars)}
            blocks.append(Bar(unit, lane[0].began, until, "unit", told, tuple(lane)))
    yield from _lanes(blocks, _RESTORE, "units")


def _step(step: StepTime, last: float, critical: bool) -> Bar:
    began = step.started or 0.0
    ended = max(began, last if step.ended is None else step.ended)
    applied = ended if step.applied is None else min(max(step.applied, began), ended)
    told: Data = {"where": step.step.where, "outcome": step.outcome}
    told |= {"operation": step.operation} if step.operation else {}
    told |= {"why": step.why} if step.why else {}
    told |= {"retries": step.retries} if step.retries else {}
    told |= {"critical": True} if critical else {}
    parts = [Bar("apply", began, applied, "apply")]
    if step.applied is not None:
        parts.append(Bar("become ready", applied, ended, "ready"))
    return Bar(str(step.step.ref), began, ended, "step", told, tuple(parts))


def _gameday(timeline: Timeline, recovery: Recovery) -> Iterator[Data]:
    for moment in sorted(recovery.moments.values(), key=lambda m: (m.at, m.mark)):
        told = {"by": moment.by, "error": moment.error}
        yield _instant(f"{moment.mark} {moment.mark.name.lower().replace('_', ' ')}", moment.at, _RUN, 0, told)
    for number, probe in enumerate(recovery.probes, 1):
        yield _meta(_PROBES, number, "thread_name", probe.probe.name)
        until = timeline.duration
        down = [
            Bar("failing", o.began, until if o.ended is None else o.ended, "outage", {"cause": o.cause})
            for o in probe.outages
        ]
        for bar in down:
            yield from _drawn(bar, _PROBES, number)
    for fault in recovery.injected:
        yield _instant(f"fault: {fault.fault}", fault.at, _EXPERIMENT, 0, {"targets": list(fault.targets)})
    for undone in recovery.undone:
        yield _instant(f"undone: {undone.fault}", undone.at, _EXPERIMENT, 0, {"by": undone.by, "cause": undone.cause})
    yield from _lanes(_done(recovery), _EXPERIMENT, "activities")


def _done(recovery: Recovery) -> Sequence[Bar]:
    """Return what the experiment and the people who followed a runbook did."""
    return [
        *(Bar(a.name, a.began, a.at, a.kind, {"status": a.status, "cause": a.cause}) for a in recovery.activities),
        *(Bar(c.step, c.began, c.at, "runbook", {"by": c.by, "note": c.note}) for c in recovery.confirmed),
    ]


def _instant(name: str, at: float, pid: int, tid: int, told: Data) -> Data:
    return {"ph": "i", "s": "g", "pid": pid, "tid": tid, "ts": round(at * _MICRO), "name": name, "args": told}
