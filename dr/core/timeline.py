"""Events → what happened: steps with their times, the chain that decided the end, what failed and took what with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

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
    Verified,
    Waiting,
)
from dr.core.model import Strength

_MOMENT = 1e-9
_IDLE = 0.1  # seconds; a shorter gap is the scheduler's own
_OPEN = {"outcome": "unfinished", "ended": None, "cause": "", "timeout": False, "because": None}


class Span(Struct, frozen=True):
    """A phase of the run, in seconds since its beginning."""

    phase: Phase
    began: float
    ended: float


class Gap(Struct, frozen=True):
    """A time of the restore in which no step was under way, in seconds since the run began."""

    began: float
    ended: float


class StepTime(Struct, frozen=True):
    """A step as it went. Times are seconds since the run began, None for what did not happen.

    `outcome`: ready, failed, skipped or unfinished. `cause`: of the failure. `retries` counts the tries that did not
    succeed, `retried` is the cause of the last one, `waiting` what was last waited for. `because`: the failed step that
    a skipped one hangs on.
    """

    step: PlannedStep
    outcome: str = "unfinished"
    started: float | None = None
    applied: float | None = None
    ended: float | None = None
    operation: str = ""
    retries: int = 0
    retried: str = ""
    waiting: str = ""
    cause: str = ""
    timeout: bool = False
    because: int | None = None

    @property
    def took(self) -> float:
        """Seconds from its start to its end; 0 without both."""
        return self.ended - self.started if self.ended is not None and self.started is not None else 0.0

    @property
    def why(self) -> str:
        """Why it is not ready, as far as it is known."""
        return "" if self.outcome == "ready" else self.cause or self.waiting or self.retried


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
    """A run as it went. `verified` counts the objects that were compared with git."""

    began: Began | None
    ended: Ended | None
    phases: tuple[Span, ...]
    steps: tuple[StepTime, ...]
    units: tuple[UnitTime, ...]
    chain: tuple[Link, ...]
    idle: tuple[Gap, ...]
    checks: tuple[Checked, ...]
    differences: tuple[Differs, ...]
    duration: float
    resumed: int
    verified: int

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


def fold(events: Iterable[AnyEvent]) -> Timeline:  # noqa: C901 - a case for each kind of event
    """Return what a run's events tell; any part of a log from its beginning will do, also one that a crash cut off.

    What comes later counts: a resumed run checks, compares and tries again, and none of it is counted twice.
    """
    began: Began | None = None
    ended: Ended | None = None
    open_phases: dict[Phase, float] = {}
    phases: list[Span] = []
    steps: list[StepTime] = []
    checks: dict[tuple[str, str, str], Checked] = {}
    differences: list[Differs] = []
    last, resumed, verified = 0.0, 0, 0
    for event in events:  # those of a gameday alone are told by core/recovery.py
        match event:
            case Began():
                began, steps = event, [StepTime(step) for step in event.steps]
            case Resumed():
                # Nobody was at work between the last event and this one.
                phases += [Span(phase, since, last) for phase, since in open_phases.items()]
                open_phases, resumed, ended, differences, checks = {}, resumed + 1, None, [], {}
            case Entered(at, phase):
                open_phases[phase] = at
            case Left(at, phase):
                phases.append(Span(phase, open_phases.pop(phase, at), at))
            case Checked():
                checks[event.check, event.subject, event.cause] = event
            case Differs():
                differences.append(event)
            case Ended():
                ended, verified = event, event.verified or verified
            case Verified():
                verified = event.objects
            case Started() | Retried() | Applied() | Waiting() | Ready() | Failed() | Skipped() if event.step < len(
                steps
            ):
                steps[event.step] = _told(steps[event.step], event)
        last = max(last, event.at)
    phases += [Span(phase, since, last) for phase, since in open_phases.items()]
    restoring = [span for span in phases if span.phase is Phase.RESTORE]
    return Timeline(
        began,
        ended,
        tuple(phases),
        tuple(steps),
        _units(steps),
        chain(steps, restoring[0].began if restoring else 0.0),
        idle(steps, restoring[0].began, restoring[-1].ended) if restoring else (),
        tuple(checks.values()),
        tuple(differences),
        last,
        resumed,
        verified,
    )


def _told(step: StepTime, event: AnyEvent) -> StepTime:
    """Return a step after an event about it."""
    now: dict[str, Any] = {}
    match event:
        case Started(at):
            now = {"started": at, "applied": None, "operation": "", "waiting": ""}
        case Retried(_, _, cause):
            now = {"retries": step.retries + 1, "retried": cause}
        case Applied(at, _, operation):
            now = {"applied": at, "operation": operation.value}
        case Waiting(_, _, message):
            now = {"waiting": message}
        case Ready(at):
            # One that a resumed run finds as it was became ready when it did.
            now = {"outcome": "ready", "ended": step.ended if step.outcome == "ready" else at}
        case Failed(at, _, cause, timeout):
            now = {"outcome": "failed", "ended": at, "cause": cause, "timeout": timeout}
        case Skipped(at, _, because):
            now = {"outcome": "skipped", "ended": at, "because": because}
    return replace(step, **(_OPEN | now))


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
    """Return the chain that decided the end as it happened, first link first.

    It goes back from the step that ended last, or, where steps failed, from the failure that took most with it, each
    time along what was satisfied last. The links' parts sum to the time from `origin`, the second in which the restore
    began, to the end of the last one. Source: `systemd-analyze critical-chain`.
    """
    done = [i for i, s in enumerate(steps) if s.ended is not None and s.started is not None and s.outcome != "skipped"]
    failed = [i for i in done if steps[i].outcome == "failed"]
    if not done:
        return ()
    taken = blame(steps)
    index = max(failed or done, key=lambda i: (taken.get(i, 0), steps[i].ended or 0.0, -i))
    until = steps[index].ended or 0.0
    links: list[Link] = []
    seen: set[int] = set()
    while True:
        seen.add(index)
        step = steps[index]
        started = min(until if step.started is None else step.started, until)
        applied = min(max(until if step.applied is None else step.applied, started), until)
        before = _latest(steps, index, started, seen)
        since = before[0] if before else min(origin, started)
        links.append(Link(index, since, started - since, applied - started, until - applied))
        if before is None:
            return tuple(reversed(links))
        until, index = before


def _latest(steps: Sequence[StepTime], index: int, started: float, seen: Collection[int]) -> tuple[float, int] | None:
    """Return when the last of a step's predecessors was satisfied before it started, and which one that was."""
    found = []
    for before, strength in zip(steps[index].step.after, steps[index].step.strengths, strict=True):
        moment, cause = satisfied(steps[before], strength), steps[before].because
        # What merely comes after a skipped step waited for the failure that took that step away.
        source = before if cause is None else cause
        if moment is not None and moment <= started + _MOMENT and steps[source].started is not None:
            found.append((min(moment, started), source))
    return max((entry for entry in found if entry[1] not in seen), default=None)


def idle(steps: Sequence[StepTime], began: float, ended: float) -> tuple[Gap, ...]:
    """Return the gaps between `began` and `ended`, in seconds of the run, in which no step was under way."""
    gaps = []
    busy = sorted((s.started, ended if s.ended is None else s.ended) for s in steps if s.started is not None)
    for start, end in [*busy, (ended, ended)]:
        if start - began > _IDLE:
            gaps.append(Gap(began, start))
        began = max(began, end)
    return tuple(gaps)


def slowest(steps: Sequence[StepTime], count: int) -> tuple[int, ...]:
    """Return up to `count` steps that took longest from their start to being ready, the longest first."""
    ready = [i for i, step in enumerate(steps) if step.outcome == "ready" and step.took > 0]
    return tuple(sorted(ready, key=lambda i: (-steps[i].took, i))[:count])


def blame(steps: Sequence[StepTime]) -> Mapping[int, int]:
    """Return how many steps each failed one took with it."""
    return Counter(step.because for step in steps if step.outcome == "skipped" and step.because is not None)


def roots(steps: Sequence[StepTime]) -> tuple[tuple[int, int], ...]:
    """Return what did not come back of itself, each with the count of what it took with it, the gravest first.

    Those are the steps that failed, then those that were under way when the run stopped.
    """
    taken = blame(steps)
    own = [
        i
        for i, step in enumerate(steps)
        if step.outcome == "failed" or (step.outcome == "unfinished" and step.started is not None)
    ]
    own.sort(key=lambda i: (steps[i].outcome != "failed", -taken.get(i, 0), i))
    return tuple((i, taken.get(i, 0)) for i in own)
