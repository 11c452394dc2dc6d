"""Events → what happened: steps with their times, the chain that decided the end, what failed and took what with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from dr.core.events import (
    AnyEvent,
    Applied,
    Began,
    Checked,
    Differs,
    Ended,
    Entered,
    Failed,
    Left,
    Phase,
    PlannedStep,
    Ready,
    Resumed,
    Retried,
    Skipped,
    Started,
    Waiting,
)
from dr.core.model import Strength

_MOMENT = 1e-9


class Span(Struct, frozen=True):
    """A phase of the run, in seconds since its beginning."""

    phase: Phase
    began: float
    ended: float


class StepTime(Struct, frozen=True):
    """A step as it went. Times are seconds since the run began, None for what did not happen.

    `outcome`: ready, failed, skipped or unfinished. `cause`: of the failure, or what was last waited for.
    `because`: the failed step that a skipped one hangs on.
    """

    step: PlannedStep
    outcome: str
    started: float | None = None
    applied: float | None = None
    ended: float | None = None
    operation: str = ""
    retries: int = 0
    cause: str = ""
    timeout: bool = False
    because: int | None = None


class Link(Struct, frozen=True):
    """A step of the chain that decided the end: what it spent, in seconds, since the link before was satisfied.

    `queued` from then until it was sent, `applying` until it was stored, `becoming` until it satisfied the next link.
    """

    step: int
    at: float
    queued: float
    applying: float
    becoming: float

    @property
    def took(self) -> float:
        """All of it."""
        return self.queued + self.applying + self.becoming


class UnitTime(Struct, frozen=True):
    """A unit as it went: its objects by outcome, and when its first was sent and its last was ready."""

    name: str
    objects: int
    outcome: str
    began: float | None
    ended: float | None


class Timeline(Struct, frozen=True):
    """A run as it went."""

    began: Began | None
    ended: Ended | None
    phases: tuple[Span, ...]
    steps: tuple[StepTime, ...]
    units: tuple[UnitTime, ...]
    chain: tuple[Link, ...]
    checks: tuple[Checked, ...]
    differences: tuple[Differs, ...]
    duration: float
    resumed: int

    @property
    def passed(self) -> bool:
        """Whether the run says so of itself."""
        return self.ended is not None and self.ended.outcome == "passed"

    def count(self, outcome: str) -> int:
        """Return how many steps ended so."""
        return sum(1 for step in self.steps if step.outcome == outcome)

    def seconds(self, phase: Phase) -> float:
        """Return how long a phase took."""
        return sum(span.ended - span.began for span in self.phases if span.phase is phase)


class _Step:
    """A step while its events are read; what comes later counts."""

    def __init__(self) -> None:
        self.started: float | None = None
        self.applied: float | None = None
        self.ended: float | None = None
        self.outcome = "unfinished"
        self.operation = self.cause = ""
        self.retries = 0
        self.timeout = False
        self.because: int | None = None


def fold(events: Iterable[AnyEvent]) -> Timeline:
    """Return what a run's events tell; any part of a log from its beginning will do, also one that a crash cut off."""
    began: Began | None = None
    ended: Ended | None = None
    open_phases: dict[Phase, float] = {}
    phases: list[Span] = []
    steps: dict[int, _Step] = defaultdict(_Step)
    checks: dict[tuple[str, str, str], Checked] = {}
    differences: list[Differs] = []
    last, resumed = 0.0, 0
    for event in events:
        last = max(last, event.at)
        match event:
            case Began():
                began = event
            case Resumed():
                resumed, ended, differences = resumed + 1, None, []
                phases += [Span(phase, since, event.at) for phase, since in open_phases.items()]
                open_phases.clear()
            case Entered(at, phase):
                open_phases[phase] = at
            case Left(at, phase):
                phases.append(Span(phase, open_phases.pop(phase, at), at))
            case Checked():
                checks[event.check, event.subject, event.cause] = event
            case Differs():
                differences.append(event)
            case Ended():
                ended = event
            case _:
                _tell(steps[event.step], event)
    phases += [Span(phase, since, last) for phase, since in open_phases.items()]
    planned = began.steps if began else ()
    times = tuple(_frozen(step, steps[index]) for index, step in enumerate(planned))
    return Timeline(
        began,
        ended,
        tuple(phases),
        times,
        _units(times),
        chain(times, next((span.began for span in phases if span.phase is Phase.RESTORE), 0.0)),
        tuple(checks.values()),
        tuple(differences),
        last,
        resumed,
    )


def _tell(step: _Step, event: AnyEvent) -> None:
    match event:
        case Started(at):
            step.started, step.outcome, step.applied, step.ended, step.because = at, "unfinished", None, None, None
        case Retried(_, _, cause):
            step.retries += 1
            step.cause = cause
        case Applied(at, _, operation):
            step.applied, step.operation, step.outcome = at, operation.value, "unfinished"
        case Waiting(_, _, message):
            step.cause = message
        case Ready(at):
            step.ended, step.outcome, step.cause = at, "ready", ""
        case Failed(at, _, cause, timeout):
            step.ended, step.outcome, step.cause, step.timeout = at, "failed", cause, timeout
        case Skipped(at, _, because):
            step.ended, step.outcome, step.because = at, "skipped", because
        case _:
            return


def _frozen(planned: PlannedStep, step: _Step) -> StepTime:
    return StepTime(
        planned,
        step.outcome,
        step.started,
        step.applied,
        step.ended,
        step.operation,
        step.retries,
        step.cause,
        step.timeout,
        step.because,
    )


def _units(steps: Sequence[StepTime]) -> tuple[UnitTime, ...]:
    members: dict[str, list[StepTime]] = defaultdict(list)
    for step in steps:
        members[step.step.unit].append(step)
    found = []
    for name, own in members.items():
        outcomes = Counter(step.outcome for step in own)
        outcome = next((o for o in ("failed", "unfinished", "skipped") if outcomes[o]), "ready")
        starts = [step.started for step in own if step.started is not None]
        ends = [step.ended for step in own if step.ended is not None and step.outcome == "ready"]
        found.append(UnitTime(name, len(own), outcome, min(starts, default=None), max(ends, default=None)))
    return tuple(sorted(found, key=lambda u: (u.began is None, u.began or 0.0, u.name)))


def satisfied(step: StepTime, strength: Strength) -> float | None:
    """Return when a step became what an edge of this strength wants of it; None if it never did."""
    if strength is Strength.READY:
        return step.ended if step.outcome == "ready" else None
    if strength is Strength.EXISTS:
        return step.applied
    return step.applied if step.applied is not None else step.ended


def chain(steps: Sequence[StepTime], origin: float = 0.0) -> tuple[Link, ...]:
    """Return the chain that decided the end as it happened: from the last step back along what was satisfied last.

    The links' parts sum to the time from `origin`, when the restore began, to the end of the last one. Source:
    `systemd-analyze critical-chain`.
    """
    done = [i for i, s in enumerate(steps) if s.ended is not None and s.started is not None and s.outcome != "skipped"]
    if not done:
        return ()
    index = max(done, key=lambda i: (steps[i].ended or 0.0, -i))
    links: list[Link] = []
    until = steps[index].ended or 0.0
    seen: set[int] = set()
    while True:
        seen.add(index)
        step = steps[index]
        started = min(step.started if step.started is not None else until, until)
        before, moment = _latest(steps, index, started)
        applied = min(max(step.applied if step.applied is not None else until, started), until)
        since = moment if before is not None else min(origin, started)
        links.append(Link(index, since, started - since, applied - started, until - applied))
        if before is None or before in seen:
            return tuple(reversed(links))
        index, until = before, moment


def _latest(steps: Sequence[StepTime], index: int, started: float) -> tuple[int | None, float]:
    """Return the predecessor that was satisfied last before a step started, and when."""
    best: tuple[float, int] | None = None
    for before, strength in zip(steps[index].step.after, steps[index].step.strengths, strict=True):
        moment = satisfied(steps[before], strength)
        if moment is not None and steps[before].started is not None and moment <= started + _MOMENT:
            best = max(best or (moment, before), (moment, before))
    return (best[1], min(best[0], started)) if best else (None, 0.0)


def blame(steps: Sequence[StepTime]) -> Mapping[int, int]:
    """Return how many steps each failed one took with it."""
    return Counter(step.because for step in steps if step.outcome == "skipped" and step.because is not None)
