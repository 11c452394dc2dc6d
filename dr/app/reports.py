"""Answers `dr report`: one run, many, whether a record can be trusted, and what runs are evidence for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from dr.adapters import history
from dr.adapters.store import EVENTS
from dr.app.answer import Answer
from dr.app.finish import Finished, told
from dr.app.records import REPORT, check, find, follow_up, past
from dr.core.errors import NotFound, UsageError
from dr.core.events import Phase
from dr.core.evidence import evidence as evidence_of
from dr.core.evidence import period as period_of
from dr.core.gameday import FollowUp
from dr.core.history import Row, by_target
from dr.core.move import Move
from dr.core.recovery import Recovery
from dr.core.timeline import Timeline
from dr.report import evidence as evidence_report
from dr.report import (
    gameday_junit,
    gameday_markdown,
    gameday_text,
    history_text,
    move_markdown,
    move_text,
    run_junit,
    run_markdown,
    run_text,
)
from dr.report.console import line
from dr.report.data import SCHEMA_VERSION, encode
from dr.report.gameday_data import data
from dr.report.metrics import metrics
from dr.report.trace import trace


def written(
    timeline: Timeline, recovery: Recovery | None, rows: Sequence[Row], moved: Move | None = None
) -> dict[str, bytes]:
    """Return every report of a run by file name; `rows` are those of its scenario, oldest first, its own the last.

    `moved`: of a forklift, what it did.
    """
    from dr.core.whatif import savings
    from dr.report.run_html import html

    *earlier, own = rows
    return {
        "report.md": move_markdown.markdown(moved) if moved else _markdown(timeline, recovery, earlier),
        REPORT: data(timeline, recovery, head=own.head, moved=moved),
        "junit.xml": _junit(timeline, recovery),
        "metrics.prom": metrics(own, recovery),
        "trace.json": trace(timeline, recovery),
        "report.html": html(timeline, recovery, earlier, savings(timeline.steps, _origin(timeline)), moved),
    }


def _origin(timeline: Timeline) -> float:
    """Return the second of the run in which its restore began."""
    return min((span.began for span in timeline.phases if span.phase is Phase.RESTORE), default=0.0)


def _markdown(timeline: Timeline, recovery: Recovery | None, earlier: Sequence[Row]) -> bytes:
    return gameday_markdown.markdown(timeline, recovery, earlier) if recovery else run_markdown.markdown([timeline])


def _junit(timeline: Timeline, recovery: Recovery | None) -> bytes:
    return gameday_junit.junit(timeline, recovery) if recovery else run_junit.junit(timeline)


def after(folders: Sequence[Path], form: str, *, detail: bool) -> Answer:
    """Answer a gameday that has just run, once or repeatedly; its reports are written already."""
    found = [told(folder) for folder in folders]
    last, reports = found[-1], folders[-1].parent
    code = 0 if all(run.row.verdict == "met" for run in found) else 1
    earlier = _earlier(reports, found[0].row)
    answer = _shown(last, earlier, form, detail=detail)
    if form != "text":
        return replace(answer, exit_code=code)
    lines = [*answer.lines]
    if len(found) > 1:
        lines += [line(""), *history_text.trended(history_text.trend([run.row for run in found]), last.row.scenario)]
    place = folders[-1] / "report.html"
    return replace(answer, lines=(*lines, line("Report: ", (str(place), "bold"))), exit_code=code)


def show(run: str, reports: Path, form: str, *, detail: bool) -> Answer:
    """Answer `dr report show`: a run as its events tell it, in the form of any of its reports."""
    folder = find(run, reports)
    found = told(folder)
    answer = _shown(found, _earlier(folder.parent, found.row), form, detail=detail)
    if form != "text":
        return answer
    place = next((p for p in (folder / "report.html", folder / "report.md") if p.exists()), folder / EVENTS)
    return replace(answer, lines=(*answer.lines, line("Report: ", (str(place), "bold"))))


def _earlier(reports: Path, own: Row) -> tuple[Row, ...]:
    return tuple(r for r in history.rows(reports, own.scenario) if (r.time, r.run) < (own.time, own.run))


def _shown(found: Finished, earlier: Sequence[Row], form: str, *, detail: bool) -> Answer:
    timeline, recovery, moved = found.timeline, found.recovery, found.move
    match form:
        case "json":
            return Answer(content=data(timeline, recovery, head=found.row.head, moved=moved))
        case "markdown":
            return Answer(content=move_markdown.markdown(moved) if moved else _markdown(timeline, recovery, earlier))
        case "junit":
            return Answer(content=_junit(timeline, recovery))
    if moved:
        return Answer(tuple(move_text.lines(moved, detail=detail)))
    if recovery:
        return Answer(tuple(gameday_text.lines(timeline, recovery, earlier, detail=detail)))
    return Answer(tuple(run_text.lines(timeline, detail=detail)))


def listing(reports: Path, form: str, scenario: str = "", limit: int = 0) -> Answer:
    """Answer `dr report list`: the runs, oldest first; `limit`: the newest so many, 0: all."""
    rows, notes = past(reports, scenario, limit=limit or -1)
    older = max(0, history.count(reports, scenario) - len(rows)) if limit and len(rows) == limit else 0
    if older:
        notes = (*notes, f"{older} older: --limit 0 shows every run")
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "older": older, "runs": rows}), notes=notes)
    return Answer(tuple(history_text.listed(rows)), notes=notes)


def compare(one: str, other: str, reports: Path, form: str, *, detail: bool) -> Answer:
    """Answer `dr report compare`: two runs side by side."""
    rows = [told(find(run, reports)).row for run in (one, other)]
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "runs": rows}))
    return Answer(tuple(history_text.compared(*rows, detail=detail)))


def trend(scenario: str, reports: Path, form: str, split: str = "") -> Answer:
    """Answer `dr report trend`: all runs of a scenario, each target's by themselves; exit code 1 when one's are longer.

    `split`: the beginning of a time, run or commit from which on a run counts as after the change. Raises NotFound.
    """
    rows, notes = past(reports, scenario)
    if not rows:
        known = sorted({group.scenario for group in history.groups(reports)})
        there = f"there are {', '.join(known)}" if known else f"{reports} holds no runs"
        raise NotFound(f"there is no run of the scenario {scenario!r}", there)
    found = {where: history_text.trend(own, split) for where, own in by_target(rows).items()}
    code = 1 if any(one.regression and one.regression.flagged for one in found.values()) else 0
    if form == "json":
        targets = [{"target": where, **msgspec.structs.asdict(one)} for where, one in found.items()]
        content = {"schema": SCHEMA_VERSION, "scenario": scenario, **targets[-1], "others": targets[:-1]}
        return Answer(content=encode(content), notes=notes, exit_code=code)
    shown = (history_text.trended(one, f"{scenario} on {where}") for where, one in found.items())
    return Answer(tuple(line for lines in shown for line in lines), notes=notes, exit_code=code)


def blame(run: str, reports: Path, form: str, *, detail: bool) -> Answer:
    """Answer `dr report blame`: what took longest."""
    found = told(find(run, reports))
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "run": found.row.run, **_blamed(found)}))
    return Answer(tuple(history_text.blamed(found.timeline, found.recovery, detail=detail)))


def _blamed(found: Finished) -> dict[str, Any]:
    steps = sorted((s for s in found.timeline.steps if s.took > 0), key=lambda s: -s.took)
    return {
        "steps": [
            {"object": str(s.step.ref), "unit": s.step.unit, "where": s.step.where, "seconds": round(s.took, 6)}
            for s in steps
        ],
        "parts": found.row.parts,
        "idle": found.timeline.idle,
    }


def critical_chain(run: str, reports: Path, form: str) -> Answer:
    """Answer `dr report critical-chain`: the chain that decided the end, and what halving each link would save."""
    from dr.core.whatif import savings

    found = told(find(run, reports))
    timeline = found.timeline
    saved = {saving.step: saving.saved for saving in savings(timeline.steps, _origin(timeline))}
    if form == "json":
        links = [
            {
                "object": str(timeline.steps[link.step].step.ref),
                "where": timeline.steps[link.step].step.where,
                **msgspec.structs.asdict(link),
                "halvingSaves": saved.get(link.step),
            }
            for link in timeline.chain
        ]
        return Answer(content=encode({"schema": SCHEMA_VERSION, "chain": links}))
    since = found.recovery.began if found.recovery else 0.0
    return Answer(tuple(history_text.chained(timeline, saved, since)))


def verify(run: str, reports: Path, form: str) -> Answer:
    """Answer `dr report verify`: whether a run's record is what was written; exit code 1 when it is not."""
    folder = find(run, reports)
    found = check(folder)
    code = 1 if found.faults else 0
    if form == "json":
        content = {
            "schema": SCHEMA_VERSION,
            "run": folder.name,
            "verified": not found.faults,
            "lines": found.lines,
            "head": found.head,
            "faults": [{"file": file, "line": fault.number, "cause": fault.cause} for file, fault in found.faults],
            "notes": found.notes,
        }
        return Answer(content=encode(content), exit_code=code)
    shown = history_text.verified(folder.name, found.lines, found.head, found.faults, found.notes)
    return Answer(tuple(shown), exit_code=code)


def evidence(period: str, reports: Path, form: str, known: Sequence[str] = ()) -> Answer:
    """Answer `dr report evidence`: what the runs of a period are evidence for.

    `known`: scenarios that should be exercised, so that one that never was is named. Raises UsageError.
    """
    try:
        within = period_of(period)
    except ValueError as error:
        raise UsageError(
            f"{period!r} is no period: {error}", "write 2026-Q4, 2026, 2026-10 or 2026-10-01..2026-12-31"
        ) from None
    rows, notes = past(reports, until=within.until.isoformat())
    todo: dict[str, Sequence[FollowUp]] = {}
    wrong: dict[str, tuple[str, ...]] = {}
    for row in rows:
        todo[row.run], causes = follow_up(reports / row.folder)
        notes = (*notes, *causes)
        if row.time[:10] >= within.since.isoformat() and (reports / row.folder / EVENTS).is_file():
            faults = check(reports / row.folder).faults
            wrong[row.run] = tuple(f"{f}:{x.number} {x.cause}" if x.number else f"{f} {x.cause}" for f, x in faults)
    found = evidence_of(rows, within, todo, wrong, known)
    if form == "json":
        return Answer(content=evidence_report.data(found), notes=notes)
    if form == "markdown":
        return Answer(content=evidence_report.markdown(found), notes=notes)
    return Answer(tuple(history_text.evident(found)), notes=notes)
