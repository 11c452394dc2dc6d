"""Evidence for recovery as Markdown and JSON: for those who ask what was exercised, when, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dr.core.evidence import Action, Entry, Evidence, Service
from dr.core.history import Outcome, Row
from dr.report.console import many, seconds
from dr.report.data import SCHEMA_VERSION, Data, encode
from dr.report.gameday_markdown import escaped, table

_WHOLE = "the whole platform"


def markdown(found: Evidence) -> bytes:
    """Return the evidence of a period as a document that stands by itself."""
    return ("\n".join(_document(found)).rstrip("\n") + "\n").encode()


def _document(found: Evidence) -> Iterator[str]:
    rows = [entry.row for entry in found.entries]
    met = sum(1 for row in rows if row.verdict == "met")
    yield f"# Evidence for recovery, {found.period.since} to {found.period.until}"
    yield ""
    scenarios = {row.scenario for row in rows}
    yield f"{many(len(rows), 'run')} of {many(len(scenarios), 'scenario')}; {met} met what was promised. " + _real(rows)
    yield ""
    yield "## Runs"
    yield ""
    head = "date | scenario | of | commit | objectives | result | deviations | where | record"
    yield from table(head, (_cells(entry) for entry in found.entries))
    yield "## Recovery by service"
    yield ""
    head = "scenario | service | promised: | worst: | latest: | runs: | missed: | measured"
    yield from table(head, (_service(service) for service in found.services))
    yield "## Follow-up"
    yield ""
    yield from table("what | from | owner | due | tested again | state", (_action(a) for a in found.actions))
    if not found.actions:
        yield from ("Nothing was noted.", "")
    yield "## When each scenario was last met"
    yield ""
    yield from table(
        "scenario | last met | days before the end: | last run | runs:",
        (
            (
                escaped(s.scenario),
                escaped(s.last_met) or "**never**",
                "–" if s.days is None else str(s.days),
                escaped(s.last_run) or "**never**",
                str(s.runs),
            )
            for s in found.staleness
        ),
    )
    yield "## Records"
    yield ""
    yield "Each run's events are chained by SHA-256; the head stands for all of them: `dr report verify RUN`."
    yield ""
    for entry in found.entries:
        state = "verified" if entry.verified else f"NOT verified: {escaped('; '.join(entry.faults))}"
        yield f"* {escaped(entry.row.run)}: {_head(entry.row.head)} {state}"


def _head(said: str) -> str:
    """Return a digest as code; what can be in none is left out, for it could end the code."""
    return f"`{re.sub('[^0-9A-Za-z]', '', said) or 'no head'}`"


def _real(rows: list[Row]) -> str:
    embedded = sum(1 for row in rows if row.embedded)
    if not embedded:
        return "All of them ran on clusters that were not simulated." if rows else ""
    return (
        f"{embedded} of them ran on embedded clusters: the API server and etcd are real, nodes, containers and what "
        "controllers do is simulated, so their times say nothing about image pulls, volumes or real programs."
    )


def _cells(entry: Entry) -> tuple[str, ...]:
    row = entry.row
    result = seconds(row.rta) if row.rta is not None else "not recovered"
    return (
        escaped(row.time[:10]),
        escaped(row.scenario),
        escaped(row.title),
        escaped(f"{row.repo} {row.commit[:9]}".strip()) or "–",
        "; ".join(_objective(outcome) for outcome in row.objectives) or "none",
        f"{'✓' if row.verdict == 'met' else '✗'} {escaped(row.verdict)}, {result}",
        escaped("; ".join(entry.deviations)) or "none",
        "embedded cluster (simulated)" if row.embedded else escaped(row.target),
        "verified" if entry.verified else "NOT verified",
    )


def _objective(outcome: Outcome) -> str:
    subject = f" {escaped(outcome.subject)}" if outcome.subject else ""
    return f"{escaped(outcome.kind.upper())}{subject} {seconds(outcome.seconds)}"


def _service(service: Service) -> tuple[str, ...]:
    return (
        escaped(service.scenario),
        escaped(service.subject) or _WHOLE,
        f"{escaped(service.kind.upper())} {seconds(service.promised)}",
        _figure(service.worst),
        _figure(service.latest),
        str(service.runs),
        str(service.missed),
        escaped(service.date),
    )


def _figure(value: float | None) -> str:
    return "not reached" if value is None else seconds(value)


def _action(action: Action) -> tuple[str, ...]:
    todo = action.action
    state = f"met again on {action.retested}" if action.retested else "**overdue**" if action.overdue else "open"
    cells = (todo.what, f"{action.scenario}, {action.run}", todo.owner or "nobody", todo.due or "–", todo.retest or "–")
    return (*(escaped(cell) for cell in cells), state)


def data(found: Evidence) -> bytes:
    """Return the evidence as JSON; figures are seconds, dates UTC."""
    content: Data = {
        "schema": SCHEMA_VERSION,
        "evidenceFor": "recovery",
        "since": found.period.since.isoformat(),
        "until": found.period.until.isoformat(),
        "runs": [
            {
                "run": e.row.run,
                "time": e.row.time,
                "kind": e.row.kind,
                "scenario": e.row.scenario,
                "title": e.row.title,
                "repo": e.row.repo,
                "commit": e.row.commit,
                "target": e.row.target,
                "simulated": e.row.embedded,
                "verdict": e.row.verdict,
                "rta": e.row.rta,
                "censored": e.row.censored,
                "rpa": e.row.rpa,
                "units": e.row.units,
                "objectives": e.row.objectives,
                "deviations": e.deviations,
                "followUp": [_todo(action) for action in e.actions],
                "head": e.row.head,
                "verified": e.verified,
                "faults": e.faults,
            }
            for e in found.entries
        ],
        "services": found.services,
        "staleness": [
            {"scenario": s.scenario, "runs": s.runs, "lastRun": s.last_run, "lastMet": s.last_met, "days": s.days}
            for s in found.staleness
        ],
        "followUp": [_todo(action) for action in found.actions],
    }
    return encode(content)


def _todo(action: Action) -> Data:
    return {
        "run": action.run,
        "scenario": action.scenario,
        "what": action.action.what,
        "owner": action.action.owner,
        "due": action.action.due,
        "retest": action.action.retest,
        "retested": action.retested,
        "overdue": action.overdue,
    }
