"""Writes down what happens in a run, before anything else happens, and tells whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dr.core.events import Ended, Entered, Event, Left, Phase
from dr.engine.ports import Clock, Log


class Recorder:
    """A run's log, its clock, and those who listen.

    `origin` is the clock's reading at the run's beginning; `ended`: the last thing written down is the run's end.
    """

    def __init__(
        self, log: Log, clock: Clock, listeners: Sequence[Callable[[Event], None]] = (), elapsed: float = 0.0
    ) -> None:
        self._log = log
        self.clock = clock
        self._listeners = tuple(listeners)
        self.origin = clock.monotonic() - elapsed
        self.ended = False

    @property
    def at(self) -> float:
        """Seconds since the run began."""
        return self.since(self.clock.monotonic())

    def since(self, reading: float) -> float:
        """Return the seconds of the run at a reading of its clock."""
        return round(reading - self.origin, 6)

    def emit(self, event: Event) -> None:
        """Keep an event, then show it; raises StoreError when it cannot be kept."""
        self._log.append(event)
        self.ended = isinstance(event, Ended)
        for listener in self._listeners:
            listener(event)

    @contextmanager
    def heard(self, listener: Callable[[Event], None]) -> Iterator[None]:
        """Tell one more listener, while the block runs."""
        before = self._listeners
        self._listeners = (*before, listener)
        try:
            yield
        finally:
            self._listeners = before

    def enter(self, phase: Phase) -> None:
        """Record that a phase begins."""
        self.emit(Entered(self.at, phase))

    def leave(self, phase: Phase) -> None:
        """Record that a phase is over."""
        self.emit(Left(self.at, phase))
