"""A run while it goes: a picture for a terminal, or a line now and then where there is none."""

from __future__ import annotations

from collections import Counter, deque

from dr.core.events import (
    Applied,
    Began,
    Checked,
    Entered,
    Event,
    Failed,
    Phase,
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
from dr.report.findings import safe
from dr.report.live_gameday import LiveGameday

_WAITS, _DONE, _BAR, _LEAST, _MESSAGE = 6, 3, 24, 6, 160
_LASTS = 5.0  # seconds after which a wait is worth a line whenever its message changes
_AND = " · "


class Live:
    """Holds what has happened so far; `feed` it every event. With `detail` every object is worth a line."""

    def __init__(self, *, detail: bool = False) -> None:
        self._detail = detail
        self._steps: tuple[PlannedStep, ...] = ()
        self._tails: tuple[float, ...] = ()
        self._estimate = 0.0
        self._at = 0.0
        self._restoring = 0.0
        self._settled: dict[int, str] = {}
        self._waiting: dict[int, tuple[float, str]] = {}
        self._left: Counter[str] = Counter()
        self._bad: set[str] = set()
        self._units: deque[str] = deque(maxlen=_DONE)
        self._causes: set[str] = set()
        self._phase = ""
        self._gameday = LiveGameday()
        self._changed = False

    def feed(self, event: Event) -> None:
        """Take an event in."""
        self._at = max(self._at, event.at)
        self._changed = self._gameday.feed(event)
        match event:
            case Began(steps=steps, estimate=estimate):
                self._steps, self._estimate = steps, estimate
                self._tails = urgency(steps, (READY_SECONDS.get(step.ref.kind, 0.1) for step in steps))
                self._left = Counter(step.unit for step in steps)
            case Entered(at, phase):
                self._phase = phase.value
                self._restoring = at if phase is Phase.RESTORE else self._restoring
            case Checked(check="hold", cause=cause):
                self._phase = _short(cause)
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
        """Return the picture `now` seconds after the run began: progress, what is waited for and why, units done.

        No row is wider than `width` characters. A `now` before the last event counts as that event's moment.
        """
        now = max(now, self._at)
        total, done = len(self._steps), len(self._settled)
        deciding = self._deciding()
        chain = f" · on chain: {self._steps[deciding].ref}" if deciding is not None else ""
        head = f" {done}/{total} {self._phase}  elapsed {seconds(now)} · eta {self._eta(now)}{chain}"
        bar = max(_LEAST, min(_BAR, width - len(head)))
        filled = bar * done // total if total else 0
        rows = [line(("━" * filled, "green"), ("━" * (bar - filled), "dim"), head), *self._gameday.rows(now)]
        begun = sorted((i for i in self._waiting if i < total), key=lambda i: (self._waiting[i][0], i))
        for index in begun[:_WAITS]:
            since, message = self._waiting[index]
            waited = seconds(now - since)
            rows.append(line(f"  … {self._steps[index].ref}", (f"  {waited} · {_short(message)}", "yellow")))
        if len(begun) > _WAITS:
            rows.append(line((f"  … and {len(begun) - _WAITS} more", "dim")))
        rows += [line((f"  {'✗' if unit in self._bad else '✓'} {unit}", "dim")) for unit in self._units]
        return [_fitted(row, width) for row in rows]

    def _deciding(self) -> int | None:
        """Return the begun step with the longest chain behind it."""
        open_steps = [i for i in self._waiting if i < len(self._tails)]
        return max(open_steps, key=lambda i: (self._tails[i], -i), default=None)

    def _eta(self, now: float) -> str:
        """Return the estimate for what is left of the longest chain, at the pace that the run has kept so far."""
        whole = max(self._tails, default=0.0)
        if not self._estimate or not whole:
            return "–"
        left = max((tail for i, tail in enumerate(self._tails) if i not in self._settled), default=0.0) / whole
        spent = now - self._restoring
        return seconds(left * spent / (1 - left) if left < 1 and spent > 1 else left * self._estimate)

    def said(self, event: Event) -> list[Line]:
        """Return what is worth a line where there is no terminal: phases, units, failures, new causes, long waits."""
        self.feed(event)
        index = getattr(event, "step", 0)
        text = self._worth(event) if not isinstance(index, int) or index < len(self._steps) or not index else ""
        return [line(f"{clock(event.at)} {text}")] if text else []

    def _worth(self, event: Event) -> str:
        match event:
            case Began(steps=steps) if steps:
                text = f"{many(len(steps), 'object')} in {many(len({s.unit for s in steps}), 'unit')}"
            case Entered(_, phase):
                text = phase.value
            case Checked(check="hold", cause=cause):
                text = _short(cause)
            case Failed(_, step, cause):
                text = f"✗ {self._steps[step].ref}: {_short(cause)}"
                text += self._unit(step)
            case Retried(_, step, cause) if cause not in self._causes:
                self._causes.add(cause)
                text = f"{self._steps[step].ref} is tried again: {_short(cause)}"
            case Waiting(at, step, message) if self._lasts(at, step, message):
                text = f"{self._steps[step].ref} waits: {_short(message)}"
            case Ready(_, step) | Skipped(_, step):
                text = self._unit(step).removeprefix(_AND)
                if self._detail and isinstance(event, Ready):
                    text = f"✓ {self._steps[step].ref}{self._unit(step)}"
            case _:
                text = self._gameday.said(event, changed=self._changed)
        return text

    def _lasts(self, at: float, step: int, message: str) -> bool:
        """Return whether a wait is worth a line: it has gone on for long, or what lies behind it was found out."""
        return " · " in message or at - self._waiting[step][0] >= _LASTS or self._detail

    def _unit(self, step: int) -> str:
        """Return that a step's unit is done, if this step was its last."""
        unit = self._steps[step].unit
        return "" if self._left[unit] else f"{_AND}{'✗' if unit in self._bad else '✓'} {unit}"


def _short(message: str) -> str:
    return safe(message[:_MESSAGE])[:_MESSAGE]


def _fitted(row: Line, width: int) -> Line:
    """Return a row cut to `width` characters."""
    parts = []
    for part, style in row:
        kept = part if len(part) <= width else f"{part[: width - 1]}…" if width else ""
        width -= len(kept)
        if kept:
            parts.append((kept, style))
    return tuple(parts)


def clock(at: float) -> str:
    """Return seconds of a run as minutes and seconds."""
    minutes, rest = divmod(int(at), 60)
    return f"{minutes:02d}:{rest:02d}"
