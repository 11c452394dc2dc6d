"""A run as it is watched from afar: what it is, where it stands, what its probes see, and its course line by line."""

from __future__ import annotations

import math
from collections import Counter

from msgspec import Struct

from dr.core.events import (
    Announced,
    AnyEvent,
    Applied,
    Began,
    Differs,
    Ended,
    Entered,
    Failed,
    Injected,
    Mark,
    Marked,
    PlannedProbe,
    PlannedStep,
    Probed,
    Ready,
    Resumed,
    Retried,
    Skipped,
    Staged,
    Started,
    Survived,
    Waiting,
)
from dr.report.gameday_markdown import MARKS
from dr.report.live import Live, clock
from dr.report.run_text import cut

_WAITS = 12
_STEPPED = (Started, Retried, Applied, Waiting, Ready, Failed, Skipped)


class SeenProbe(Struct, frozen=True):
    """What a probe said last: `passed` None before its first answer, `since` the second of the run it says so from."""

    name: str
    kind: str
    what: str
    passed: bool | None
    since: float | None
    asked: int
    failed: int
    cause: str


class SeenMark(Struct, frozen=True):
    """A moment of the recovery: seconds since the run began and since the fault, what it is, and who says so."""

    mark: str
    at: float
    after: float | None
    what: str
    by: str


class SeenStep(Struct, frozen=True):
    """An object under way: since which second of the run, and what it waits for."""

    object: str
    unit: str
    since: float
    waits: str


class Picture(Struct, frozen=True):
    """Where a run stands. Times are seconds since it began; `outcome` is "" until it ends.

    `steps` counts the objects, by outcome in `ready`, `failed` and `skipped`; `waiting` are the first of those that are
    under way, of `open`. `steady`: since when all probes pass again after the fault. `lines` counts what was said.
    """

    run: str
    title: str
    scenario: str
    target: str
    time: str
    at: float
    phase: str
    outcome: str
    steps: int
    ready: int
    failed: int
    skipped: int
    open: int
    steady: float | None
    waiting: tuple[SeenStep, ...]
    probes: tuple[SeenProbe, ...]
    marks: tuple[SeenMark, ...]
    lines: int


class Watched:
    """Holds what a run's events have told so far. An event that does not fit the run's plan is refused."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._live = Live(detail=True)
        self._began: Began | None = None
        self._announced: Announced | None = None
        self._steps: tuple[PlannedStep, ...] = ()
        self._probes: tuple[PlannedProbe, ...] = ()
        self._at = 0.0
        self._phase = self._outcome = ""
        self._settled: dict[int, str] = {}
        self._open: dict[int, tuple[float, str]] = {}
        self._last: dict[int, Probed] = {}
        self._since: dict[int, float] = {}
        self._asked: Counter[int] = Counter()
        self._failed: Counter[int] = Counter()
        self._fault: Injected | None = None
        self._marks: dict[Mark, tuple[float, str]] = {}
        self.lines = 0

    def feed(self, event: AnyEvent) -> tuple[str, ...]:
        """Take an event in; return the lines it is worth. Raises ValueError for a step or a probe that is not known."""
        if not math.isfinite(event.at):
            raise ValueError(f"at {event.at}")
        index, known = -1, -1
        if isinstance(event, _STEPPED):
            index, known = event.step, len(self._steps)
        elif isinstance(event, Probed | Survived):
            index, known = event.probe, len(self._probes)
        if known >= 0 and not 0 <= index < known:
            raise ValueError(f"number {index} of {known}")
        self._take(event)
        said = ["".join(part for part, _ in line) for line in self._live.said(event)]
        if isinstance(event, Ended):
            said.append(f"{clock(event.at)} the run is over: {event.outcome}")
        elif isinstance(event, Differs):
            said.append(f"{clock(event.at)} ✗ {event.what} {event.ref} {cut(event.path)}".rstrip())
        self.lines += len(said)
        return tuple(said)

    def _take(self, event: AnyEvent) -> None:  # noqa: C901, PLR0912 - a case for each kind of event
        self._at = max(self._at, event.at)
        match event:
            case Began(steps=steps):
                self._began, self._steps = event, steps
            case Announced(probes=probes):
                self._announced, self._probes = event, probes
            case Resumed():
                self._outcome = ""
            case Entered(phase=phase):
                self._phase = phase.value
            case Staged(stage=stage):
                self._phase = stage
            case Started(at, step) | Applied(at, step):
                self._open[step] = (self._open.get(step, (at, ""))[0], "sent")
            case Waiting(at, step, message) | Retried(at, step, message):
                self._open[step] = (self._open.get(step, (at, ""))[0], message)
            case Ready(step=step) | Failed(step=step) | Skipped(step=step):
                self._open.pop(step, None)
                self._settled[step] = type(event).__name__.lower()
            case Injected(began=began, fault=fault):
                if self._fault is None:
                    self._fault = event
                    self._marks[Mark.FAULT] = (began, fault)
            case Marked(at, mark, by):
                self._marks[mark] = (at, by)
            case Probed():
                self._answered(event)
            case Ended(outcome=outcome):
                self._outcome = outcome

    def _answered(self, event: Probed) -> None:
        before = self._last.get(event.probe)
        self._last[event.probe] = event
        self._asked[event.probe] += 1
        self._failed[event.probe] += not event.passed
        if before is None or before.passed != event.passed:
            self._since[event.probe] = event.at
        if self._fault and not event.passed and event.at >= self._fault.began:
            self._marks.setdefault(Mark.IMPACT, (event.at, self._probes[event.probe].name))

    @property
    def outcome(self) -> str:
        """How it ended, "" while it has not."""
        return self._outcome

    def picture(self) -> Picture:
        """Return where it stands."""
        began, told = self._began, self._announced
        counts = Counter(self._settled.values())
        begun = sorted(self._open.items(), key=lambda item: (item[1][0], item[0]))
        return Picture(
            run=self._run,
            title=told.title if told else "",
            scenario=told.scenario if told else "",
            target=began.target.context if began else "",
            time=began.time if began else "",
            at=self._at,
            phase=self._phase,
            outcome=self._outcome,
            steps=len(self._steps),
            ready=counts["ready"],
            failed=counts["failed"],
            skipped=counts["skipped"],
            open=len(begun),
            steady=self._steady(),
            waiting=tuple(
                SeenStep(str(self._steps[i].ref), self._steps[i].unit, since, cut(waits))
                for i, (since, waits) in begun[:_WAITS]
            ),
            probes=tuple(self._seen(index, probe) for index, probe in enumerate(self._probes)),
            marks=self._told(),
            lines=self.lines,
        )

    def _steady(self) -> float | None:
        impact = self._marks.get(Mark.IMPACT)
        if impact is None or not all((last := self._last.get(i)) and last.passed for i in range(len(self._probes))):
            return None
        return max(self._since.values())

    def _seen(self, index: int, probe: PlannedProbe) -> SeenProbe:
        last = self._last.get(index)
        return SeenProbe(
            probe.name,
            probe.kind,
            probe.what,
            last.passed if last else None,
            self._since.get(index),
            self._asked[index],
            self._failed[index],
            cut(last.cause) if last else "",
        )

    def _told(self) -> tuple[SeenMark, ...]:
        fault = self._marks.get(Mark.FAULT)
        found = sorted(self._marks.items(), key=lambda item: (item[1][0], item[0]))
        return tuple(SeenMark(m, at, at - fault[0] if fault else None, MARKS[m], by) for m, (at, by) in found)
