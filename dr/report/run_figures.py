"""What the HTML report draws, as numbers: shares of the time axis in percent, ready to be set into SVG."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from dr.core.events import Mark
from dr.core.history import Point, Row
from dr.core.recovery import Recovery
from dr.core.timeline import StepTime, Timeline, UnitTime
from dr.report.console import seconds
from dr.report.gameday_text import measured

_TICKS = 8
_STEPS = (1, 2, 5)
_DOTS = 60
_CLOSE = 4.0  # percent of the axis; nearer marks would be written over each other


class Axis(Struct, frozen=True):
    """A time axis: it begins at `start` and ends at `end`, seconds of the run; `zero` is where people count from."""

    start: float
    end: float
    zero: float

    def at(self, moment: float) -> float:
        """Return where a moment lies, in percent of the axis."""
        span = self.end - self.start
        return round(100 * min(max((moment - self.start) / span, 0.0), 1.0), 2) if span > 0 else 0.0

    def wide(self, began: float, ended: float) -> float:
        """Return how wide a time is, in percent of the axis."""
        return round(self.at(ended) - self.at(began), 2)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Return round times, as their place and what is written there."""
        step = _round((self.end - self.start) / _TICKS)
        first = math.ceil((self.start - self.zero) / step)
        last = math.floor((self.end - self.zero) / step)
        return tuple((self.at(self.zero + n * step), f"{n * step:g}s") for n in range(first, last + 1)) if step else ()


class Bar(Struct, frozen=True):
    """A piece of a row: its kind, where it begins and how wide it is in percent, and what it says."""

    kind: str
    x: float
    wide: float
    says: str = ""


class UnitRow(Struct, frozen=True):
    """A unit of the Gantt: its bars, its steps by their index, and an axis of its own for them."""

    unit: UnitTime
    axis: Axis
    bars: tuple[Bar, ...]
    steps: tuple[int, ...]


class Wave(Struct, frozen=True):
    """The steps at one depth of the graph: their kinds with counts, and from when to when they were under way."""

    steps: tuple[int, ...]
    kinds: tuple[tuple[str, int], ...]
    began: float | None
    ended: float | None


class Dot(Struct, frozen=True):
    """A run in the comparison: its place in percent, and whether it met, missed or never came back."""

    x: float
    y: float
    kind: str
    says: str


def axis(timeline: Timeline, recovery: Recovery | None) -> Axis:
    """Return the axis of all that is drawn: from a moment before the fault, or the restore, to the last moment."""
    starts = [step.started for step in timeline.steps if step.started is not None]
    ends = [step.ended for step in timeline.steps if step.ended is not None]
    if recovery and recovery.injected:
        moments = [m.at for m in recovery.moments.values() if m.mark is not Mark.CLEAN]
        zero, end = recovery.began, max([*moments, *ends])
        return Axis(max(0.0, zero - 0.05 * (end - zero)), end if end > zero else timeline.duration, zero)
    began = min(starts, default=0.0)
    return Axis(began, max(ends, default=timeline.duration), began)


def parts(recovery: Recovery) -> tuple[Bar, ...]:
    """Return the parts of the recovery as one bar; they fill it, with what was waited for in vain as the last."""
    found = measured(recovery)
    whole = sum(took for _, took in found)
    if recovery.censored is not None and recovery.censored > whole:
        found, whole = [*found, ("given up", recovery.censored - whole)], recovery.censored
    bars, x = [], 0.0
    for name, took in found if whole > 0 else ():
        wide = 100 * took / whole
        bars.append(Bar(name, round(x, 2), round(wide, 2), f"{seconds(took)}, {wide:.0f} %"))
        x += wide
    return tuple(bars)


def marks(recovery: Recovery | None, on: Axis) -> tuple[Bar, ...]:
    """Return the marks as lines; those that lie close together share what is written, not their lines."""
    moments = sorted(recovery.moments.values(), key=lambda m: (m.at, m.mark)) if recovery else []
    found: list[tuple[float, list[float], list[str]]] = []
    for moment in moments:
        if on.start <= moment.at <= on.end:
            x = on.at(moment.at)
            if found and x - found[-1][0] < _CLOSE:
                found[-1][1].append(x)
                found[-1][2].append(moment.mark)
            else:
                found.append((x, [x], [moment.mark]))
    return tuple(
        Bar("mark", x, 0.0, _span(names) if x == xs[0] else "") for _, xs, names in found for x in dict.fromkeys(xs)
    )


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}–{names[-1]}"


def outages(recovery: Recovery | None, on: Axis) -> Iterator[tuple[str, tuple[Bar, ...], str]]:
    """Yield each probe with the times in which it failed, and how long that was."""
    for probe in recovery.probes if recovery else ():
        bars = tuple(
            Bar("down", on.at(o.began), max(0.3, on.wide(o.began, on.end if o.ended is None else o.ended)), o.cause)
            for o in probe.outages
        )
        long = "still down" if probe.downtime is None else f"down {seconds(probe.downtime)}"
        yield probe.probe.name, bars, long if bars else "never down"


def units(timeline: Timeline, on: Axis) -> tuple[UnitRow, ...]:
    """Return the units in the order in which they began, each with the times in which it applied and became ready."""
    members: dict[str, list[int]] = {}
    for index, step in enumerate(timeline.steps):
        members.setdefault(step.step.unit, []).append(index)
    rows = []
    for unit in timeline.units:
        own = sorted(members[unit.name], key=lambda i: (_or(timeline.steps[i].started, math.inf), i))
        ends = [_or(timeline.steps[i].ended, on.end) for i in own]
        own_axis = Axis(_or(unit.began, on.start), max(ends), on.zero)
        rows.append(UnitRow(unit, own_axis, tuple(_merged(_pieces((timeline.steps[i] for i in own), on))), tuple(own)))
    return tuple(rows)


def pieces(step: StepTime, on: Axis) -> tuple[Bar, ...]:
    """Return a step's row: applying, then becoming ready or failing."""
    return tuple(_pieces((step,), on))


def _pieces(steps: Iterable[StepTime], on: Axis) -> Iterator[Bar]:
    for step in steps:
        if step.started is None:
            continue
        ended = on.end if step.ended is None else step.ended
        applied = ended if step.applied is None else step.applied
        stored = step.applied is not None or step.outcome == "ready"
        yield Bar("apply" if stored else "fail", on.at(step.started), on.wide(step.started, applied))
        yield Bar("become" if step.outcome == "ready" else "fail", on.at(applied), on.wide(applied, ended))


def _merged(bars: Iterable[Bar]) -> Iterator[Bar]:
    """Yield the bars of each kind with those that touch made one: thousands of steps are a few bars."""
    kinds: dict[str, list[Bar]] = {}
    for bar in bars:
        kinds.setdefault(bar.kind, []).append(bar)
    for kind in ("become", "apply", "fail"):
        last: Bar | None = None
        for bar in sorted(kinds.get(kind, ()), key=lambda b: (b.x, b.wide)):
            if last and bar.x <= last.x + last.wide + 0.05:
                last = Bar(kind, last.x, round(max(last.wide, bar.x + bar.wide - last.x), 2))
                continue
            if last:
                yield last
            last = bar
        if last:
            yield last


def waves(steps: Sequence[StepTime]) -> tuple[Wave, ...]:
    """Return the steps by their depth: those of a wave come after those of the waves before."""
    depths: list[int] = []
    for step in steps:
        depths.append(1 + max((depths[before] for before in step.step.after), default=-1))
    found = []
    for depth in range(max(depths, default=-1) + 1):
        own = tuple(i for i, d in enumerate(depths) if d == depth)
        kinds = Counter(steps[i].step.ref.kind for i in own)
        starts = [s.started for s in (steps[i] for i in own) if s.started is not None]
        ends = [s.ended for s in (steps[i] for i in own) if s.ended is not None]
        counted = tuple(sorted(kinds.items(), key=lambda k: (-k[1], k[0])))
        found.append(Wave(own, counted, min(starts, default=None), max(ends, default=None)))
    return tuple(found)


def dots(rows: Sequence[Row | Point], limit: float | None) -> tuple[tuple[Dot, ...], float | None]:
    """Return the last runs of a scenario as dots, and the height of the objective; heights in percent from above."""
    shown = [row for row in rows if row.rta is not None or row.censored is not None][-_DOTS:]
    top = 1.1 * max([row.rta if row.rta is not None else row.censored or 0.0 for row in shown] + [limit or 0.0] + [0.1])
    found = []
    for number, row in enumerate(shown):
        value = row.rta if row.rta is not None else row.censored or 0.0
        kind = "lost" if row.rta is None else "met" if row.verdict == "met" else "missed"
        x = 100 * (number + 0.5) / len(shown)
        found.append(Dot(round(x, 2), _height(value, top), kind, f"{row.time[:16]} {row.verdict} {seconds(value)}"))
    return tuple(found), _height(limit, top) if limit is not None else None


def _height(value: float, top: float) -> float:
    return round(100 - 100 * value / top, 2)


def _round(value: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is at least `value`."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((n * power for n in _STEPS if n * power >= value), 10 * power)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
