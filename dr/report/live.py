"""A run while it goes: a picture for a terminal, or a line now and then where there is none."""

from __future__ import annotations

from collections import Counter, deque

from dr.core.events import (
    Applied,
    Began,
    Entered,
    Event,
    Failed,
    PlannedStep,
    Ready,
    Retried,
    Skipped,
    Started,
    Waiting,
)
from dr.core.rules.order import READY_SECONDS
from dr.core.schedule import urgency
from dr.report.console import Line, line, many, seconds

_WAITS, _DONE, _BAR, _MESSAGE = 6, 3, 24, 160


class Live:
    """Holds what has happened so far; `feed` it every event."""

    def __init__(self) -> None:
        self._steps: tuple[PlannedStep, ...] = ()
        self._tails: tuple[float, ...] = ()
        self._estimate = 0.0
        self._at = 0.0
        self._settled: dict[int, str] = {}
        self._waiting: dict[int, tuple[float, str]] = {}
        self._left: Counter[str] = Counter()
        self._bad: set[str] = set()
        self._units: deque[str] = deque(maxlen=_DONE)
        self._causes: set[str] = set()
        self._phase = ""

    def feed(self, event: Event) -> None:
        """Take an event in."""
        self._at = max(self._at, event.at)
        match event:
            case Began(steps=steps, estimate=estimate):
                self._steps, self._estimate = steps, estimate
                self._tails = urgency(steps, (READY_SECONDS.get(step.ref.kind, 0.1) for step in steps))
                self._left = Counter(step.unit for step in steps)
            case Entered(_, phase):
                self._phase = phase.value
            case Started(at, step) | Applied(at, step):
                self._waiting.setdefault(step, (at, "sent"))
            case Waiting(at, step, message) | Retried(at, step, message):
                self._waiting[step] = (self._waiting.get(step, (at, ""))[0], message)
            case Ready(_, step):
                self._settle(step, "ready")
            case Failed(_, step) | Skipped(_, step):
                self._settle(step, "failed")
            case _:
                return

    def _settle(self, step: int, outcome: str) -> None:
        self._waiting.pop(step, None)
        if step in self._settled or step >= len(self._steps):
            return
        self._settled[step] = outcome
        unit = self._steps[step].unit
        self._left[unit] -= 1
        if outcome != "ready":
            self._bad.add(unit)
        if not self._left[unit]:
            self._units.append(unit)

    def frame(self, width: int, now: float) -> list[Line]:
        """Return the picture `now` seconds after the run began: progress, what is waited for and why, the chain."""
        total, done = len(self._steps), len(self._settled)
        filled = _BAR * done // total if total else 0
        chain = self._deciding()
        head = f" {done}/{total} objects  {self._phase}  elapsed {seconds(now)} · eta {self._eta(now)}"
        rows = [line(("━" * filled, "green"), ("━" * (_BAR - filled), "dim"), head)]
        if chain is not None:
            rows.append(line(("  on the chain that decides the end: ", "dim"), f"{self._steps[chain].ref}"))
        oldest = sorted((i for i in self._waiting if i < total), key=lambda i: self._waiting[i][0])[:_WAITS]
        for index in oldest:
            since, message = self._waiting[index]
            waited = seconds(max(now - since, 0.0))
            rows.append(line(f"  … {self._steps[index].ref}", (f"  {waited} · {message[:_MESSAGE]}", "yellow")))
        rows += [line((f"  {'✗' if unit in self._bad else '✓'} {unit}", "dim")) for unit in self._units]
        return [tuple((part[: width * 2], style) for part, style in row) for row in rows]

    def _deciding(self) -> int | None:
        """Return the begun step with the longest chain behind it."""
        open_steps = [i for i in self._waiting if i < len(self._tails)]
        return max(open_steps, key=lambda i: (self._tails[i], -i), default=None)

    def _eta(self, now: float) -> str:
        if not self._steps or not self._estimate:
            return "–"
        left = [i for i in range(len(self._steps)) if i not in self._settled]
        longest = max((self._tails[i] for i in left), default=0.0)
        whole = max(self._tails, default=0.0)
        spent = whole - longest
        # How the run has kept to its estimate so far tells what the rest of the longest chain will take.
        return seconds(longest * now / spent) if spent > 0 and now > 1 else seconds(longest)

    def said(self, event: Event) -> list[Line]:
        """Return what is worth a line where there is no terminal: phases, units, failures, new causes, long waits."""
        self.feed(event)
        text = self._worth(event)
        return [line(f"{_clock(event.at)} {text}")] if text else []

    def _worth(self, event: Event) -> str:
        match event:
            case Began(steps=steps):
                text = f"{many(len(steps), 'object')} in {many(len({s.unit for s in steps}), 'unit')}"
            case Entered(_, phase):
                text = phase.value
            case Failed(_, step, cause):
                text = f"✗ {self._steps[step].ref}: {cause[:_MESSAGE]}"
            case Retried(_, step, cause) if cause not in self._causes:
                self._causes.add(cause)
                text = f"{self._steps[step].ref} is tried again: {cause[:_MESSAGE]}"
            case Waiting(_, step, message) if " · " in message:
                text = f"{self._steps[step].ref} waits: {message[:_MESSAGE]}"
            case Ready(_, step) | Skipped(_, step) if not self._left[self._steps[step].unit]:
                unit = self._steps[step].unit
                text = f"{'✗' if unit in self._bad else '✓'} {unit}"
            case _:
                text = ""
        return text


def _clock(at: float) -> str:
    minutes, rest = divmod(int(at), 60)
    return f"{minutes:02d}:{rest:02d}"
