"""When each step of a restore must be ready."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping


class Deadlines:
    """The time of each step, from its start; `over` is called when it is up.

    That of a Service which must lead somewhere (`behind`: its step and those behind it) runs from the start of the
    first that is behind it: before that, nothing can come of waiting.
    """

    def __init__(self, seconds: float, behind: Mapping[int, tuple[int, ...]], over: Callable[[int], None]) -> None:
        self._seconds = seconds
        self._behind = behind
        self._over = over
        self._fronts: dict[int, list[int]] = defaultdict(list)
        for service, steps in behind.items():
            for step in steps:
                self._fronts[step].append(service)
        self._begun: set[int] = set()
        self._lost: set[int] = set()
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def begin(self, step: int) -> None:
        """Take note that a step has begun."""
        self._begun.add(step)
        for index in (step, *self._fronts[step]):
            self._start(index)

    def _start(self, step: int) -> None:
        behind = self._behind.get(step, ())
        idle = behind and (self._begun | self._lost).isdisjoint(behind)
        if step in self._begun and step not in self._timers and not idle:
            self._timers[step] = asyncio.get_running_loop().call_later(self._seconds, self._over, step)

    def lost(self, step: int) -> tuple[int, ...]:
        """Take note that a step will not come; return the Services that it was behind."""
        self._lost.add(step)
        for service in self._fronts[step]:
            self._start(service)
        return tuple(self._fronts[step])

    def forsaken(self, service: int) -> tuple[int, ...]:
        """Return the steps behind a Service once all of them are lost."""
        behind = self._behind.get(service, ())
        return behind if self._lost.issuperset(behind) else ()

    def stop(self, step: int) -> None:
        """Let a step take all the time that it needs."""
        if timer := self._timers.get(step):
            timer.cancel()

    def close(self) -> None:
        """Stop all clocks."""
        for timer in self._timers.values():
            timer.cancel()
