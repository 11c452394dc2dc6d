"""What if a step had been faster: the restore recomputed through its graph, not guessed from a bar's length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from dr.core.model import Strength
from dr.core.timeline import StepTime, chain

_MOMENT = 1e-9
_CANDIDATES = 20


class Saving(Struct, frozen=True):
    """A step, the seconds that it `took` from its start to being ready, and by how many the end would come earlier."""

    step: int
    took: float
    saved: float


def savings(steps: Sequence[StepTime], origin: float, factor: float = 0.5) -> tuple[Saving, ...]:
    """Return what it saves when one step takes `factor` of its time, for the 20 longest that can save anything.

    `origin`: when the restore began, in seconds of the run. Greatest saving first, none that saves nothing. Only steps
    of the chain that decided the end are tried: were any other one faster, that chain would take as long as it did.
    Empty where not all became ready: there is no end to bring nearer.
    """
    if any(step.outcome != "ready" for step in steps):
        return ()
    links = sorted(chain(steps, origin), key=lambda link: (-link.applying - link.becoming, link.step))
    course = _Course(steps, origin)
    end = course.end({})
    found = [
        Saving(link.step, steps[link.step].took, end - course.end({link.step: factor})) for link in links[:_CANDIDATES]
    ]
    return tuple(sorted((s for s in found if s.saved > _MOMENT), key=lambda s: (-s.saved, s.step)))


def recomputed(steps: Sequence[StepTime], origin: float, factors: Mapping[int, float]) -> float:
    """Return when the last step would have been ready, in seconds of the run, had some taken that share of their time.

    A step starts as long after the last of its predecessors was what it wants as it did, so a start delayed by the API
    server's limits stays delayed, and stores and becomes ready in the time that it took. `origin` as in `savings`.
    Steps that never ended count for nothing. Source: the forward pass of the critical path method.
    """
    return _Course(steps, origin).end(factors)


class _Own(Struct, frozen=True):
    """What is a step's own: what held it, how long it lay after that, and how long it applied and became ready.

    `held` has the steps before it, each with whether it had to be ready.
    """

    held: tuple[tuple[int, bool], ...]
    queued: float
    applying: float
    becoming: float


class _Course:
    """How a restore went, in a form that can be played again: each step's own, and its moments."""

    def __init__(self, steps: Sequence[StepTime], origin: float) -> None:
        self._origin = origin
        self._applied: list[float] = []
        self._ended: list[float] = []
        self._own: list[_Own] = []
        self._following: dict[int, list[int]] = defaultdict(list)
        for index, step in enumerate(steps):
            ended = origin if step.ended is None else step.ended
            started = ended if step.started is None else min(step.started, ended)
            applied = ended if step.applied is None else min(max(step.applied, started), ended)
            before = zip(step.step.after, (s is Strength.READY for s in step.step.strengths), strict=True)
            # What was satisfied after the start did not hold it: a crash lay between.
            held = tuple(h for h in before if _moment(h, self._applied, self._ended) <= started + _MOMENT)
            since = max((_moment(h, self._applied, self._ended) for h in held), default=origin)
            self._applied.append(applied)
            self._ended.append(ended)
            self._own.append(_Own(held, started - since, applied - started, ended - applied))
            for other, _ in held:
                self._following[other].append(index)

    def end(self, factors: Mapping[int, float]) -> float:
        """Return when the last step is ready if some take that share of their time; in seconds of the run."""
        applied, ended = list(self._applied), list(self._ended)
        moved = set(factors)
        for index in range(min(factors, default=len(ended)), len(ended)):
            if index not in moved:
                continue
            own, factor = self._own[index], factors.get(index, 1.0)
            started = max((_moment(h, applied, ended) for h in own.held), default=self._origin) + own.queued
            applied[index] = started + own.applying * factor
            ended[index] = applied[index] + own.becoming * factor
            if (applied[index], ended[index]) != (self._applied[index], self._ended[index]):
                moved.update(self._following[index])
        return max(ended, default=self._origin)

    def slack(self) -> list[float]:
        """Return by how many seconds each step could be later, or take longer, before the end is."""
        spare = [max(self._ended, default=0.0) - ended for ended in self._ended]
        for index in reversed(range(len(self._ended))):
            for other in self._following[index]:
                own = self._own[other]
                since = self._applied[other] - own.applying - own.queued
                moment = min(_moment(h, self._applied, self._ended) for h in own.held if h[0] == index)
                spare[index] = min(spare[index], since - moment + spare[other])
        return spare


def _moment(held: tuple[int, bool], applied: Sequence[float], ended: Sequence[float]) -> float:
    step, ready = held
    return ended[step] if ready else applied[step]


def slack(steps: Sequence[StepTime]) -> tuple[float | None, ...]:
    """Return by how many seconds each step could have been ready later without moving the end; None: it never was.

    Source: the backward pass of the critical path method, over what held the start of each step.
    """
    course = _Course(steps, min((s.started for s in steps if s.started is not None), default=0.0))
    return tuple(
        None if step.ended is None or step.outcome != "ready" else spare
        for step, spare in zip(steps, course.slack(), strict=True)
    )
