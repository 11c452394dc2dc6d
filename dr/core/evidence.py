"""Runs of a period → evidence for recovery: what was exercised, what came of it, what is left to do, what is stale."""

from __future__ import annotations

import calendar
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from msgspec import Struct

from dr.core.gameday import FollowUp
from dr.core.history import Outcome, Row

_QUARTER = re.compile(r"(\d{4})-Q([1-4])")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_YEAR = re.compile(r"\d{4}")
_UNCHECKED = ("its events are gone",)
_DEVIATIONS = {
    "aborted": "aborted: an abort condition stopped it",
    "interrupted": "interrupted: it did not come to its end",
    "not begun": "not begun: nothing was disturbed",
}


class Period(Struct, frozen=True):
    """A time from one day to another, both inclusive, UTC."""

    since: date
    until: date


class Action(Struct, frozen=True):
    """What a run left to do. `retested`: the day on which its scenario was met again, "" while it was not.

    `overdue`: the day by which it should have been done, or tested again, is past and the scenario was not met since.
    """

    run: str
    scenario: str
    action: FollowUp
    retested: str
    overdue: bool


class Entry(Struct, frozen=True):
    """A run of the period: its row, how it deviated from what was planned, and what is wrong with its record."""

    row: Row
    deviations: tuple[str, ...]
    actions: tuple[Action, ...]
    faults: tuple[str, ...]

    @property
    def verified(self) -> bool:
        """Whether its record is what was written when it ran."""
        return not self.faults


class Service(Struct, frozen=True):
    """What was promised of everything (`subject` "") or of a unit or tier, and what was measured, in seconds.

    `worst` and `latest` are None where it was not reached; `missed` counts those runs and the ones that were too late.
    """

    scenario: str
    kind: str
    subject: str
    promised: float
    runs: int
    missed: int
    worst: float | None
    latest: float | None
    date: str


class Staleness(Struct, frozen=True):
    """When a scenario was last run and last met, as days before the end of the period; None: never."""

    scenario: str
    runs: int
    last_run: str
    last_met: str
    days: int | None


class Evidence(Struct, frozen=True):
    """What the runs of a period are evidence for."""

    period: Period
    entries: tuple[Entry, ...]
    services: tuple[Service, ...]
    staleness: tuple[Staleness, ...]
    actions: tuple[Action, ...]


def period(text: str) -> Period:
    """Return the period of `2026`, `2026-Q4`, `2026-10` or `2026-10-01..2026-12-31`; raises ValueError.

    >>> period("2026-Q4").until
    datetime.date(2026, 12, 31)
    """
    since, dots, until = text.partition("..")
    if dots:
        found = Period(period(since).since, period(until).until)
        if found.since > found.until:
            raise ValueError(f"{text} ends before it begins")
        return found
    if quarter := _QUARTER.fullmatch(text):
        year, last = int(quarter[1]), 3 * int(quarter[2])
        return Period(date(year, last - 2, 1), _last(year, last))
    if month := _MONTH.fullmatch(text):
        first = date(int(month[1]), int(month[2]), 1)
        return Period(first, _last(first.year, first.month))
    if _YEAR.fullmatch(text):
        return Period(date(int(text), 1, 1), date(int(text), 12, 31))
    day = date.fromisoformat(text)
    return Period(day, day)


def _last(year: int, month: int) -> date:
    return date(year, month, calendar.monthrange(year, month)[1])


def evidence(
    rows: Iterable[Row],
    within: Period,
    follow_up: Mapping[str, Sequence[FollowUp]],
    checked: Mapping[str, Sequence[str]],
    known: Iterable[str] = (),
) -> Evidence:
    """Return the evidence of a period.

    `rows`: all runs up to its end, since a scenario may have been met last before it. `follow_up`: what runs left to
    do, by run. `checked`: what is wrong with the record of each run that could be checked. `known`: scenarios that
    should be exercised, so that one that never was is named.
    """
    past = sorted((r for r in rows if _day(r) <= within.until.isoformat()), key=lambda r: (r.time, r.run))
    since = within.since.isoformat()
    own = [row for row in past if _day(row) >= since]
    actions = {row.run: tuple(_action(row, a, past, within) for a in follow_up.get(row.run, ())) for row in past}
    return Evidence(
        within,
        tuple(Entry(row, _deviations(row), actions[row.run], tuple(checked.get(row.run, _UNCHECKED))) for row in own),
        _services(own),
        _staleness(past, within, known),
        tuple(action for row in past for action in actions[row.run] if _day(row) >= since or not action.retested),
    )


def _day(row: Row) -> str:
    return row.time[:10]


def _deviations(row: Row) -> tuple[str, ...]:
    said = [_DEVIATIONS[row.verdict]] if row.verdict in _DEVIATIONS else []
    if row.verdict == "missed" and row.rta is None:
        said.append(f"not recovered within {row.censored or 0:.0f} s")
    for outcome in row.objectives:
        if not outcome.met:
            subject = f" of {outcome.subject}" if outcome.subject else ""
            actual = "not reached" if outcome.actual is None else f"{outcome.actual:.1f} s"
            said.append(f"{outcome.kind.upper()}{subject} missed: {actual}, promised {outcome.seconds:g} s")
    if row.kind == "gameday" and not row.impact and row.verdict not in ("not begun", "interrupted"):
        said.append("no impact: no probe noticed the fault, so nothing was shown of the recovery")
    if row.verdict == "missed" and not said:
        said.append("recovered, but not clean: see the run's report")
    return tuple(said)


def _action(row: Row, action: FollowUp, past: Sequence[Row], within: Period) -> Action:
    later = (r for r in past if r.scenario == row.scenario and r.verdict == "met" and r.time > row.time)
    retested = next((_day(r) for r in later), "")
    days = [day for day in (action.due, action.retest) if day]
    overdue = not retested and any(day < within.until.isoformat() for day in days)
    return Action(row.run, row.scenario, action, retested, overdue)


def _services(rows: Sequence[Row]) -> tuple[Service, ...]:
    """Return what came of each promise, by scenario; a promise that changed is the latest one's."""
    found: dict[tuple[str, str, str], list[tuple[Row, Outcome]]] = defaultdict(list)
    for row in rows:
        for outcome in row.objectives:
            found[row.scenario, outcome.subject, outcome.kind].append((row, outcome))
    services = []
    for (scenario, subject, kind), pairs in sorted(found.items()):
        actual = [outcome.actual for _, outcome in pairs]
        known = [value for value in actual if value is not None]
        row, latest = pairs[-1]
        services.append(
            Service(
                scenario,
                kind,
                subject,
                latest.seconds,
                len(pairs),
                sum(1 for _, outcome in pairs if not outcome.met),
                max(known) if len(known) == len(actual) else None,
                latest.actual,
                _day(row),
            )
        )
    return tuple(services)


def _staleness(past: Sequence[Row], within: Period, known: Iterable[str]) -> tuple[Staleness, ...]:
    """Return each scenario, the one that was met longest ago first; those that never were stand before all others."""
    runs: dict[str, list[Row]] = {name: [] for name in known}
    for row in past:
        runs.setdefault(row.scenario, []).append(row)
    found = []
    for scenario, own in runs.items():
        met = [_day(row) for row in own if row.verdict == "met"]
        days = (within.until - date.fromisoformat(met[-1])).days if met else None
        found.append(Staleness(scenario, len(own), _day(own[-1]) if own else "", met[-1] if met else "", days))
    return tuple(sorted(found, key=lambda s: (s.days is not None, -(s.days or 0), s.scenario)))
