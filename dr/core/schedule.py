"""Which steps may start: a restore's state machine, told what happened, without a clock or a cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from dr.core.events import PlannedStep
from dr.core.model import Strength

_WAITS_FOR_READY = frozenset({Strength.READY})


class Moved(Struct, frozen=True):
    """What an event changed: the steps that may start now, and those that never will (with the step to blame)."""

    runnable: tuple[int, ...] = ()
    skipped: tuple[tuple[int, int], ...] = ()


class Schedule:
    """The steps of a plan and how far each has come.

    A step may start once every predecessor is what its edge wants: stored (`exists`), healthy (`ready`), or
    merely tried (`soft`). A failed step takes those with it that want more of it than it has reached.
    `first` are the steps that wait for nothing.
    """

    def __init__(self, steps: Sequence[PlannedStep]) -> None:
        self._following: dict[int, list[tuple[int, Strength]]] = defaultdict(list)
        self._pending = [len(step.after) for step in steps]
        self._applied: set[int] = set()
        self._settled: set[int] = set()
        for index, step in enumerate(steps):
            for before, strength in zip(step.after, step.strengths, strict=True):
                self._following[before].append((index, strength))
        self.first = tuple(index for index, count in enumerate(self._pending) if not count)

    @property
    def done(self) -> bool:
        """Whether every step is ready, failed or skipped."""
        return len(self._settled) == len(self._pending)

    @property
    def unsettled(self) -> tuple[int, ...]:
        """The steps that are neither ready nor failed nor skipped."""
        return tuple(index for index in range(len(self._pending)) if index not in self._settled)

    def applied(self, step: int) -> Moved:
        """Tell that a step's object is stored; telling twice changes nothing."""
        if step in self._applied:
            return Moved()
        self._applied.add(step)
        return Moved(self._release(step, {Strength.EXISTS, Strength.SOFT}))

    def ready(self, step: int) -> Moved:
        """Tell that a step's object is stored and healthy."""
        before = self.applied(step).runnable
        if step in self._settled:
            return Moved(before)
        self._settled.add(step)
        return Moved((*before, *self._release(step, _WAITS_FOR_READY)))

    def failed(self, step: int) -> Moved:
        """Tell that a step failed for good; all that needs it is skipped, what merely came after it goes on."""
        if step in self._settled:
            return Moved()
        self._settled.add(step)
        runnable: list[int] = []
        skipped: list[tuple[int, int]] = []
        stack = [step]
        while stack:
            lost = stack.pop()
            stored = lost in self._applied
            if not stored:
                runnable.extend(self._release(lost, {Strength.SOFT}))
            for index, strength in self._following[lost]:
                wanted = strength is Strength.READY or (strength is Strength.EXISTS and not stored)
                if wanted and index not in self._settled:
                    self._settled.add(index)
                    skipped.append((index, step))
                    stack.append(index)
        lost_too = self._settled
        return Moved(tuple(i for i in runnable if i not in lost_too), tuple(sorted(skipped)))

    def _release(self, step: int, strengths: Collection[Strength]) -> tuple[int, ...]:
        free = []
        for index, strength in self._following[step]:
            if strength in strengths:
                self._pending[index] -= 1
                if not self._pending[index] and index not in self._settled:
                    free.append(index)
        return tuple(free)


def urgency(steps: Sequence[PlannedStep], seconds: Iterable[float]) -> tuple[float, ...]:
    """Return for each step the seconds from its start to the end of the longest chain that hangs on it.

    `seconds` is each step's assumed time from start to ready. The step with the longest chain goes first
    when the API server is the limit. Source: Hu's level algorithm (list scheduling by bottom level).
    """
    took = list(seconds)
    below = [0.0] * len(steps)
    tail = [0.0] * len(steps)
    for index in range(len(steps) - 1, -1, -1):
        tail[index] = took[index] + below[index]
        for before, strength in zip(steps[index].after, steps[index].strengths, strict=True):
            if strength is Strength.READY:
                below[before] = max(below[before], tail[index])
            elif strength is Strength.EXISTS:
                below[before] = max(below[before], tail[index] - took[before])
    return tuple(tail)
