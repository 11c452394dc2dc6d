"""A run as one row of the history, and what rows tell together."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from dr.core.recovery import Recovery
from dr.core.timeline import Timeline

_THROWAWAY = re.compile(r"^(dr-gameday|dr-rehearsal)-\d+")  # the number of the process that made it


class Outcome(Struct, frozen=True):
    """An objective in a row: what was promised and what came of it, in seconds; `actual` None: not reached."""

    kind: str
    subject: str
    seconds: float
    actual: float | None
    met: bool


class Row(Struct, frozen=True):
    """A run of the past, in short. `time` is wall time (UTC); figures are seconds.

    `kind`: gameday, rehearsal or restore. `verdict`: met, missed, aborted, interrupted or not begun. `rta` is None
    where it did not recover; then `censored` says after how long it was given up. `units`: from the fault, or the run's
    beginning, until each was ready. `head` is the hash of the last event, `folder` the run's folder under reports/.
    """

    run: str
    time: str
    kind: str
    scenario: str
    title: str
    verdict: str
    repo: str = ""
    commit: str = ""
    target: str = ""
    embedded: bool = False
    rta: float | None = None
    error: float = 0.0
    censored: float | None = None
    rpa: float | None = None
    lost: int | None = None
    impact: bool = True
    parts: dict[str, float] = {}
    units: dict[str, float] = {}
    objectives: tuple[Outcome, ...] = ()
    objects: int = 0
    digest: str = ""
    head: str = ""
    folder: str = ""

    @property
    def promised(self) -> float | None:
        """In how many seconds the whole should be back, None where nothing was promised of it."""
        return next((o.seconds for o in self.objectives if o.kind == "rto" and not o.subject), None)


class Point(Struct, frozen=True):
    """What a trend needs of a run; the fields are a row's. `promised`: in how many seconds the whole should be back."""

    scenario: str
    target: str
    time: str
    run: str
    verdict: str
    folder: str
    commit: str
    rta: float | None
    censored: float | None
    promised: float | None


def by_target(rows: Iterable[Row]) -> dict[str, tuple[Row, ...]]:
    """Return rows by the target that they are comparable on, the one of the last row at the end.

    Throw-away clusters are alike, whatever each was called.
    """
    found: dict[str, tuple[Row, ...]] = {}
    for row in rows:
        where = _THROWAWAY.sub(r"\1", row.target) if row.embedded else row.target
        found[where] = (*found.pop(where, ()), row)
    return found


class Group(Struct, frozen=True):
    """The runs of a scenario on a target: how many, when (UTC) the last one began and the last that was met ("")."""

    scenario: str
    target: str
    runs: int
    last: str
    met: str


def kind_of(timeline: Timeline) -> str:
    """Return what a run is that is no gameday: a rehearsal or a restore."""
    began = timeline.began
    return "rehearsal" if began and began.command.split()[1:2] == ["rehearse"] else "restore"


def row(timeline: Timeline, recovery: Recovery | None, *, head: str, folder: str) -> Row:
    """Return the row of a run; of one that is no gameday, its recovery is from the run's beginning to its end."""
    began = timeline.began
    pin = began.pins[0] if began and began.pins else None
    since = recovery.began if recovery else 0.0
    kind = kind_of(timeline)
    repo = pin.name if pin else ""
    done = timeline.passed
    found = Row(
        run=began.run if began else folder,
        time=began.time if began else "",
        kind=kind,
        scenario=kind,
        title=f"{kind} of {repo}",
        verdict="met" if done else "missed" if timeline.ended else "interrupted",
        repo=repo,
        commit=pin.commit if pin else "",
        target=began.target.context if began else "",
        embedded=began.target.embedded if began else False,
        rta=timeline.duration if done else None,
        censored=None if done else timeline.duration,
        parts={span.phase.value: round(span.ended - span.began, 6) for span in timeline.phases},
        units={u.name: round(u.ended - since, 6) for u in timeline.units if u.ended is not None},
        objects=len(timeline.steps),
        digest=began.digest if began else "",
        head=head,
        folder=folder,
    )
    if recovery is None:
        return found
    return replace(
        found,
        kind="gameday",
        scenario=recovery.announced.scenario,
        title=recovery.announced.title,
        verdict=recovery.verdict,
        rta=recovery.rta,
        error=recovery.error,
        censored=recovery.censored,
        rpa=recovery.rpa,
        lost=recovery.lost,
        impact=recovery.impact,
        parts={part.name: round(part.seconds, 6) for part in recovery.parts if part.happened},
        objectives=tuple(
            Outcome(j.objective.kind, j.objective.subject, j.objective.seconds, j.actual, j.met)
            for j in recovery.objectives
        ),
    )
