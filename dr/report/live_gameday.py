"""An exercise while it goes: what the probes see now, and each thing that happens in a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dr.core.events import (
    Aborted,
    Activity,
    Announced,
    Carried,
    Confirmed,
    Drained,
    Event,
    Injected,
    Mark,
    Marked,
    Moved,
    Probed,
    Returned,
    Staged,
    Steered,
    Survived,
    Switched,
    Undone,
)
from dr.report.console import Line, line, many, seconds

MOVED = "users are moved"  # a forklift's cutover is measured as a fault, and is none
_MESSAGE, _TARGETS = 120, 3
_WORDS = {
    Mark.DETECTED: "noticed by",
    Mark.DECIDED: "recovery begins:",
    Mark.INFRASTRUCTURE: "infrastructure:",
    Mark.CONTROL_PLANE: "control plane answers:",
    Mark.WORKLOADS: "workloads ready:",
    Mark.CLEAN: "cleaned up by",
}


class LiveGameday:
    """Holds what the probes said last; `feed` it every event."""

    def __init__(self) -> None:
        self._announced: Announced | None = None
        self._last: dict[int, Probed] = {}
        self._since: dict[int, float] = {}
        self._fault: float | None = None

    def feed(self, event: Event) -> bool:
        """Take an event in; return whether it is an answer that differs from the probe's last."""
        match event:
            case Announced():
                self._announced = event
            case Injected(at):
                self._fault = at if self._fault is None else self._fault
            case Probed(at, probe, passed):
                before = self._last.get(probe)
                self._last[probe] = event
                if before is None or before.passed != passed:
                    self._since[probe] = at
                    return before is not None
        return False

    def rows(self, now: float) -> list[Line]:
        """Return the rows of the picture `now` seconds after the run began: probes, and the time since the fault."""
        if self._announced is None:
            return []
        rows = []
        if self._fault is not None:
            rows.append(line((f"  fault {seconds(max(0.0, now - self._fault))} ago", "bold")))
        for index, probe in enumerate(self._announced.probes):
            last = self._last.get(index)
            if last is None:
                rows.append(line((f"  … {probe.name}", "dim")))
            elif last.passed:
                rows.append(line(("  ✓ ", "green"), probe.name))
            else:
                lasting = seconds(max(0.0, now - self._since.get(index, now)))
                rows.append(line(("  ✗ ", "red"), probe.name, (f"  {lasting} · {last.cause[:_MESSAGE]}", "yellow")))
        return rows

    def said(self, event: Event, *, changed: bool) -> str:
        """Return what is worth a line, "" when nothing is; `changed` is what `feed` returned for this event."""
        if isinstance(event, Probed):
            return self._turned(event) if changed else ""
        told = _LINES.get(type(event))
        return told(event) if told else ""

    def _turned(self, event: Probed) -> str:
        name = self._announced.probes[event.probe].name if self._announced else f"probe {event.probe}"
        return f"✓ {name}" if event.passed else f"✗ {name}: {event.cause[:_MESSAGE]}"


def _struck(event: Injected) -> str:
    rest = len(event.targets) - _TARGETS
    more = f" and {many(rest, 'other')}" if rest > 0 else ""
    if event.fault == MOVED:
        return "users are being moved"
    return f"✗ fault: {event.fault}: {', '.join(event.targets[:_TARGETS])}{more}"


def _begun(event: Announced) -> str:
    count = f" · {event.repetition} of {event.repetitions}" if event.repetitions > 1 else ""
    return f"{event.title} · recovery: {event.recovery}{count}"


def _staged(event: Staged) -> str:
    mark = "✓" if event.outcome == "passed" else "✗"
    return f"{mark} {event.stage} {event.outcome}" + (f": {event.cause[:_MESSAGE]}" if event.cause else "")


_LINES: dict[type[Event], Callable[[Any], str]] = {
    Announced: _begun,
    Injected: _struck,
    Marked: lambda event: f"{event.mark.value} {_WORDS.get(event.mark, '')} {event.by}",
    Moved: lambda event: f"the probes ask {event.target.context} now",
    Survived: lambda event: f"canary: the newest number that survived is {event.number}",
    Aborted: lambda event: f"ABORTED: {event.condition}: {event.cause}",
    Activity: lambda event: (
        "" if event.status == "succeeded" else f"✗ {event.name} {event.status}: {event.cause[:_MESSAGE]}"
    ),
    Undone: lambda event: (
        f"✗ not undone: {event.fault}: {event.cause}; {event.remedy}".removesuffix("; ")
        if event.cause
        else f"✓ undone by {event.by}: {event.fault}"
    ),
    Confirmed: lambda event: f"✓ {event.step} ({event.by})",
    Staged: _staged,
    Carried: lambda event: (
        f"{'✗' if event.cause else '✓'} data {event.data}: {event.what} {event.cause[:_MESSAGE]}".rstrip()
    ),
    Steered: lambda event: (
        f"{'✗' if event.cause else '✓'} {event.weight} % of the traffic to the new cluster {event.cause[:_MESSAGE]}"
    ).rstrip(),
    Switched: lambda event: f"✓ writes go to the {'new' if event.side == 'to' else 'old'} cluster",
    Returned: lambda event: f"✓ back on the old cluster, {seconds(event.at - event.began)} after it was decided",
    Drained: lambda event: f"✓ stopped {event.ref}",
}
