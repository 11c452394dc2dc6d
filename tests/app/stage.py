"""The stages of a move between two clusters that are not there, for what is decided before either is touched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from dr.adapters.kube import Access
from dr.app.moves import Clusters, Ready, Shown
from dr.app.stages import Stages
from dr.core.events import AnyEvent, Began, Event, Stage, Staged, Switched, Target
from dr.core.forklift import Forklift
from dr.core.work import Assignment
from dr.engine.recorder import Recorder

ACCESS = Access("green", "https://green")
OLD, NEW = (Target(name, f"https://{name}", f"uid-{name}", "ca", "v1.37.2") for name in ("blue", "green"))

SHOWN = Shown(lambda _: None, lambda: nullcontext(lambda _: None), lambda _: None, cast("Any", None))


class Log:
    def __init__(self, *events: AnyEvent) -> None:
        self.events: list[AnyEvent] = list(events)

    def append(self, event: Event) -> None:
        self.events.append(cast("AnyEvent", event))


class Clock:
    def __init__(self, now: str = "2026-11-23T10:00:00+00:00") -> None:
        self._now = now

    def monotonic(self) -> float:
        return 0.0

    def now(self) -> str:
        return self._now


def began() -> AnyEvent:
    return Began(0.0, time="t", run="2026-11-23-100000-forklift-shop", command="dr forklift", dr="1", target=NEW)


def went(*stages: str, outcome: str = "passed", time: str = "2026-11-23T10:00:00+00:00") -> list[AnyEvent]:
    return [e for name in stages for e in (Stage(0, name, time), Staged(1, name, outcome, time))]


def moved() -> list[AnyEvent]:
    """Return what was written down of a move that is drained."""
    return [
        began(),
        *went("preflight", "bootstrap", "verify", "parity"),
        Switched(2, "to"),
        *went("cutover", "drain"),
    ]


def stages(
    move: Forklift,
    folder: Path,
    *events: AnyEvent,
    now: str = "2026-11-23T10:00:00+00:00",
    confirm: Callable[[str], None] = lambda _: None,
    old: Any = None,
) -> tuple[Stages, Log]:
    """Return the stages of a move of which `events` are known, and what is written down of it from now on."""
    log = Log(*events)
    ready = Ready(move, "", "", folder, cast("Any", None), Assignment((), ()), ACCESS, ACCESS)
    clusters = Clusters(old, cast("Any", None), OLD, NEW)
    shown = replace(SHOWN, confirm=confirm)
    return Stages(ready, clusters, Recorder(log, Clock(now)), log.events, shown), log
