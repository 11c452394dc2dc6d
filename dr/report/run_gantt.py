"""What the HTML report lays over its Gantt and tells of its probes: waits, lines through the rows, samples by time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from dr.core.events import Mark, Phase, Probed
from dr.core.recovery import Judged, Recovery
from dr.core.timeline import StepTime, Timeline, satisfied
from dr.report.console import many, seconds
from dr.report.run_figures import Axis, Bar, UnitRow

_SEEN = 0.05  # percent of the axis; what is shorter cannot be seen


class Asked(Struct, frozen=True):
    """How often a probe was asked in a part of the exercise, and how often it failed."""

    times: int
    failed: int


def counted_from(timeline: Timeline, recovery: Recovery | None) -> float:
    """Return the second of the run that people count from: the fault, else when the restore began, else its start."""
    if recovery and recovery.injected:
        return recovery.began
    return min((span.began for span in timeline.phases if span.phase is Phase.RESTORE), default=0.0)


def waits(steps: Sequence[StepTime], indices: Iterable[int], on: Axis, origin: float) -> tuple[Bar, ...]:
    """Return when steps could have been sent and were not yet, with those that touch made one.

    `indices`: the steps that are meant. `origin`: since when the first could have been sent, in seconds of the run.
    """
    spans: list[tuple[float, float]] = []
    for since, until in sorted(_waited(steps, indices, origin)):
        if spans and since <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], until))
        else:
            spans.append((since, until))
    bars = (Bar("wait", on.at(since), on.wide(since, until)) for since, until in spans)
    return tuple(bar for bar in bars if bar.wide >= _SEEN)


def _waited(steps: Sequence[StepTime], indices: Iterable[int], origin: float) -> Iterator[tuple[float, float]]:
    for index in indices:
        step = steps[index]
        if step.started is None:
            continue
        held = (satisfied(steps[b], s) for b, s in zip(step.step.after, step.step.strengths, strict=True))
        # What was satisfied after the start did not hold it: a crash lay between.
        since = max((m for m in held if m is not None and m <= step.started), default=min(origin, step.started))
        yield since, step.started


def through(bars: Iterable[Bar]) -> str:
    """Return the path of the marks' lines through a row that is 100 wide and 1 high."""
    return "".join(f"M{bar.x:g} 0V1" for bar in bars)


def summed(row: UnitRow, zero: float) -> str:
    """Return in words what a unit's row shows, for who cannot see it; `zero`: the second people count from."""
    unit = row.unit
    if unit.began is None:
        return f"{unit.name or 'objects'}: {unit.outcome}, none was sent"
    began = f"{unit.name or 'objects'}: sent from {unit.began - zero:.1f} s"
    return f"{began}, {unit.outcome}" + ("" if unit.ended is None else f", last ready at {unit.ended - zero:.1f} s")


def asked(recovery: Recovery) -> tuple[tuple[Asked, Asked, Asked], ...]:
    """Return, for each probe, how often it was asked and failed before the fault, until all had recovered, and then.

    An answer belongs where it came.
    """
    fault = recovery.began if recovery.injected else float("inf")
    recovered = recovery.moments.get(Mark.RECOVERED)
    until = max(fault, recovered.at) if recovered else float("inf")
    return tuple(
        (
            _asked(s for s in own if s.at < fault),
            _asked(s for s in own if fault <= s.at < until),
            _asked(s for s in own if s.at >= until),
        )
        for own in ([s for s in recovery.samples if s.probe == n] for n in range(len(recovery.probes)))
    )


def _asked(samples: Iterable[Probed]) -> Asked:
    answers = [sample.passed for sample in samples]
    return Asked(len(answers), answers.count(False))


def margin(judged: Judged) -> str:
    """Return how far an objective was met or missed: `14m29s to spare`, `–` where it was not reached."""
    if judged.actual is None:
        return "–"
    spare = judged.objective.seconds - judged.actual
    if judged.objective.kind == "lost":
        return f"{many(int(abs(spare)), 'write')} {'to spare' if judged.met else 'too many'}"
    return f"{seconds(spare)} to spare" if judged.met else f"{seconds(-spare)} too much"
