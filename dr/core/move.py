"""Events of a forklift → its stages, what moved with which result, and whether everybody was served. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from dr.core.events import (
    AnyEvent,
    CameBack,
    Carried,
    Checked,
    Confirmed,
    Drained,
    Ended,
    Moving,
    Parity,
    Returned,
    Stage,
    Staged,
    Steered,
    Switched,
    Twinned,
)
from dr.core.moving import LIVE_ONLY
from dr.core.progress import STAGES, UNDONE
from dr.core.recovery import Recovery, recovery


class StageTime(Struct, frozen=True):
    """A stage: when it began last, in seconds of the run, how long it took in all its tries, and how the last ended.

    `outcome`: passed, failed, returned, interrupted, undone, or "" where it was not begun.
    """

    name: str
    began: float | None = None
    seconds: float = 0.0
    outcome: str = ""
    cause: str = ""
    tries: int = 0


class Move(Struct, frozen=True):
    """A forklift as it went. `recovery` is what users saw. `downtime`: of the probe that failed longest, in seconds.

    `frozen`: seconds in which writes were stopped. `lost`: acknowledged writes that are gone, None where none was
    counted. `verdict`: moved, missed (an objective), returned, stopped or interrupted; and `under way`.
    """

    moving: Moving
    stages: tuple[StageTime, ...]
    recovery: Recovery | None
    downtime: float | None
    error: float
    frozen: float
    lost: int | None
    checks: tuple[Checked, ...]
    carried: tuple[Carried, ...]
    steered: tuple[Steered, ...]
    switched: tuple[Switched, ...]
    returned: tuple[Returned, ...]
    parity: tuple[Parity, ...]
    compared: int
    drained: tuple[Drained, ...]
    came_back: tuple[CameBack, ...]
    confirmed: tuple[Confirmed, ...]
    verdict: str

    @property
    def alone(self) -> tuple[Checked, ...]:
        """What lived on the old cluster and was not in git."""
        return tuple(check for check in self.checks if check.check == LIVE_ONLY)


def move(events: Iterable[AnyEvent]) -> Move | None:
    """Return what a forklift's events tell, of any part of its log; None when they are not a forklift's."""
    told = tuple(events)
    moving = next((e for e in told if isinstance(e, Moving)), None)
    if moving is None:
        return None
    seen = recovery(told)
    outages = [p for p in seen.probes if p.outages] if seen else []
    down = [p.downtime for p in outages]
    worst = None if None in down else max((d for d in down if d is not None), default=0.0)
    stages = tuple(_stage(name, told) for name in STAGES)
    ended = next((e for e in reversed(told) if isinstance(e, Ended)), None)
    returned = tuple(e for e in told if isinstance(e, Returned))
    return Move(
        moving,
        stages,
        seen,
        worst if seen and seen.injected else None,
        max((p.error for p in outages), default=0.0),
        _frozen(told),
        seen.lost if seen else None,
        _latest_checks(told),
        tuple(e for e in told if isinstance(e, Carried)),
        tuple(e for e in told if isinstance(e, Steered)),
        tuple(e for e in told if isinstance(e, Switched)),
        returned,
        _of_last(told, "parity", Parity),
        next((e.objects for e in reversed(told) if isinstance(e, Twinned)), 0),
        tuple(e for e in told if isinstance(e, Drained)),
        tuple({e.unit: e for e in told if isinstance(e, CameBack)}.values()),
        tuple(e for e in told if isinstance(e, Confirmed)),
        _verdict(ended, stages, seen),
    )


def judged(found: Move) -> Recovery | None:
    """Return what users saw of a move, with the move's own verdict in the words of a gameday's."""
    words = {"moved": "met", "under way": "interrupted", "stopped": "missed", "returned": "aborted"}
    return found.recovery and replace(found.recovery, verdict=words.get(found.verdict, found.verdict))


def _stage(name: str, told: Iterable[AnyEvent]) -> StageTime:
    found, last = StageTime(name), 0.0
    began: float | None = None
    for event in told:
        if isinstance(event, Stage):
            if began is not None:  # a crash cut the last one off
                found = _closed(found, began, last, "interrupted", "")
                began = None
            if event.stage == name:
                began = event.at
        elif isinstance(event, Staged) and event.stage == name and event.outcome == UNDONE:
            found = replace(found, outcome=UNDONE, cause="")
        elif isinstance(event, Staged) and event.stage == name and began is not None:
            found = _closed(found, began, event.at, event.outcome, event.cause)
            began = None
        last = event.at
    return found if began is None else _closed(found, began, last, "interrupted", "")


def _closed(found: StageTime, began: float, ended: float, outcome: str, cause: str) -> StageTime:
    return StageTime(found.name, began, found.seconds + ended - began, outcome, cause, found.tries + 1)


def _frozen(told: Iterable[AnyEvent]) -> float:
    """Return the seconds between the first stop of writes and the last leave to write, of each switch."""
    total, since, until = 0.0, 0.0, 0.0
    for event in told:
        if isinstance(event, Carried) and event.what == "freeze" and until >= since:
            total, since = total + until - since, event.began
        elif isinstance(event, Carried) and event.what == "thaw":
            until = event.at
    return total + max(0.0, until - since)


def _latest_checks(told: Iterable[AnyEvent]) -> tuple[Checked, ...]:
    """Return the findings of the last preflight, each once."""
    found: dict[tuple[str, str, str], Checked] = {}
    for event in told:
        if isinstance(event, Stage) and event.stage == "preflight":
            found = {}
        elif isinstance(event, Checked):
            found[event.check, event.subject, event.cause] = event
    return tuple(found.values())


def _of_last(told: Iterable[AnyEvent], stage: str, kind: type[Parity]) -> tuple[Parity, ...]:
    found: list[Parity] = []
    for event in told:
        if isinstance(event, Stage) and event.stage == stage:
            found = []
        elif isinstance(event, kind):
            found.append(event)
    return tuple(found)


def _verdict(ended: Ended | None, stages: tuple[StageTime, ...], seen: Recovery | None) -> str:
    by = {stage.name: stage for stage in stages}
    if ended is None or ended.outcome == "interrupted":
        return "interrupted"
    if by["cutover"].outcome == "returned":
        return "returned"
    # One may have gone on in spite of a preflight's findings: what they foretell was not avoided then.
    if any(stage.outcome == "failed" for stage in stages if stage.name != "preflight"):
        return "stopped"
    warned = by["preflight"].outcome == "failed"
    if by["cutover"].outcome != "passed":
        return "stopped" if warned and not by["bootstrap"].tries else "under way"
    return "moved" if not warned and (seen is None or all(j.met for j in seen.objectives)) else "missed"
