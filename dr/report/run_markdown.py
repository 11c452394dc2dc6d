"""A run as Markdown: a summary for a pull request, and a record that stands by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dr.core.events import Phase
from dr.core.model import LEVELS, Level
from dr.core.timeline import Timeline, roots
from dr.report.console import many, pins, seconds
from dr.report.findings import safe
from dr.report.run_text import compared, cut, drift, following, longest, slow, told, verdict

_LINKS, _FAILURES, _DIFFERENCES, _FEW = 12, 50, 30, 5
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&@$])")
# A forge looks for people and issues after it has taken the backslashes away: a space of no width stops it.
_MENTION = re.compile(r"([@#])(?=\w)")


def markdown(timelines: Sequence[Timeline]) -> bytes:
    """Return the report of the first run, compared with the others (the same repo in other orders)."""
    return ("\n".join(_report(timelines[0], timelines[1:])) + "\n").encode()


def _escaped(text: str) -> str:
    """Return text as it is, whatever it holds: no markup, no HTML, no mention of a person or an issue."""
    return _whole(cut(safe(text)))


def _whole(text: str) -> str:
    return _MENTION.sub(r"\1&#8203;", _SPECIAL.sub(r"\\\1", safe(text)))


def _report(timeline: Timeline, others: Sequence[Timeline]) -> Iterator[str]:
    yield f"# {_escaped(''.join(part for part, _ in verdict(timeline)))}"
    yield ""
    yield from _failures(timeline)
    if others:
        yield "| order | restoring | ready | rejected | never ready | skipped |"
        yield "|---|---:|---:|---:|---:|---:|"
        for row in compared([timeline, *others]):
            yield f"| {' | '.join(_escaped(str(cell)) for cell in row)} |"
        yield ""
    yield "| unit | objects | began | ready | outcome |"
    yield "|---|---:|---:|---:|---|"
    for unit in timeline.units:
        began = seconds(unit.began) if unit.began is not None else "–"
        ended = seconds(unit.ended) if unit.ended is not None else "–"
        mark = "✓" if unit.outcome == "ready" else "✗"
        yield f"| {_escaped(unit.name)} | {unit.objects} | {began} | {ended} | {mark} {unit.outcome} |"
    yield ""
    yield from _chain(timeline)
    yield from _provenance(timeline)


def _failures(timeline: Timeline) -> Iterator[str]:
    """Yield what went wrong, the gravest first; where it is much, behind a line that opens."""
    said = [*_lost(timeline), *_checks(timeline), *_drift(timeline)]
    if len(said) > _FEW:
        yield from said[:_FEW]
        rest = f"{len(said) - _FEW} more lines"
        yield from ("", f"<details><summary>{rest}</summary>", "", *said[_FEW:], "", "</details>")
    else:
        yield from said
    if said:
        yield ""


def _lost(timeline: Timeline) -> Iterator[str]:
    own = roots(timeline.steps)
    for index, taken in own[:_FAILURES]:
        step = timeline.steps[index]
        more = f", taking {many(taken, 'object')} with it" if taken else ""
        why = _escaped(step.why) or "no answer yet"
        yield f"* **{_escaped(str(step.step.ref))}** {_escaped(step.step.where)}{more}: {why}"
    if len(own) > _FAILURES:
        yield f"* {len(own) - _FAILURES} more failures in report.json"


def _checks(timeline: Timeline) -> Iterator[str]:
    for check in sorted(timeline.checks, key=lambda c: -LEVELS.index(c.level)):
        if check.level is not Level.INFO:
            said = _escaped("; ".join(part for part in (check.cause, check.remedy) if part))
            yield f"* {_escaped(check.check)}: **{_escaped(check.subject)}** {said}"


def _drift(timeline: Timeline) -> Iterator[str]:
    own = drift(timeline)
    for d in own[:_DIFFERENCES]:
        yield f"* {_escaped(d.what)}: **{_escaped(str(d.ref))}** {_escaped(told(d))}".rstrip()
    if len(own) > _DIFFERENCES:
        yield f"* {len(own) - _DIFFERENCES} more differences in report.json"


def _chain(timeline: Timeline) -> Iterator[str]:
    if not timeline.chain:
        return
    yield "## What the end waited for"
    yield ""
    yield "| object | at | queued | applied | ready |"
    yield "|---|---:|---:|---:|---:|"
    shown = longest(timeline.chain, _LINKS)
    for link in (link for link in timeline.chain if link in shown):
        name = _escaped(str(timeline.steps[link.step].step.ref))
        parts = " | ".join(f"{part:.2f} s" for part in (link.at, link.queued, link.applying, link.becoming))
        yield f"| {name} | {parts} |"
    if rest := [link for link in timeline.chain if link not in shown]:
        yield f"| {many(len(rest), 'shorter link')} | | | | {sum(link.took for link in rest):.2f} s |"
    yield ""
    if found := slow(timeline):
        yield "Slowest: " + ", ".join(f"{_escaped(str(step.step.ref))} {seconds(step.took)}" for step in found)
        yield ""


def _provenance(timeline: Timeline) -> Iterator[str]:
    began = timeline.began
    if began is None:
        return
    yield "## How this was measured"
    yield ""
    run = f"{pins(began.pins)}, {began.time}, dr {began.dr}, order: {began.order}"
    yield f"* {_whole(run)}"
    kind = "embedded cluster" if began.target.embedded else "context"
    target = _escaped(f"{began.target.context}, {began.target.version}, identity {began.target.uid}")
    yield f"* {kind} {target}"
    phases = ", ".join(
        f"{phase.value} {seconds(timeline.seconds(phase))}" for phase in Phase if timeline.seconds(phase)
    )
    yield f"* {phases}; one monotonic clock in the runner"
    if timeline.resumed:
        yield f"* resumed {many(timeline.resumed, 'time')}; time between counts by wall clock"
    yield f"* compared with git: {many(timeline.verified, 'object')}"
    yield f"* repeat it: {_whole(began.command)}"
    yield from (f"* simulated: {_escaped(what)}" for what in began.simulated)
    if hint := following(timeline):
        yield f"* next: {_whole(hint)}"
