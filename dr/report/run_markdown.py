"""A run as Markdown: a summary for a pull request, and a record that stands by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dr.core.events import Phase
from dr.core.model import Level
from dr.core.timeline import Timeline, blame
from dr.report.console import many, pins, seconds
from dr.report.findings import safe
from dr.report.run_text import compared, verdict

_LONG, _LINKS, _DIFFERENCES = 300, 12, 30
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&@$])")


def markdown(timelines: Sequence[Timeline]) -> bytes:
    """Return the report of the first run, compared with the others (the same repo in other orders)."""
    return ("\n".join(_report(timelines[0], timelines[1:])) + "\n").encode()


def _escaped(text: str) -> str:
    """Return text as it is, whatever it holds: no markup, no HTML, no mention of a person."""
    return _SPECIAL.sub(r"\\\1", safe(text[:_LONG]))


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
    taken = blame(timeline.steps)
    failed = [(i, step) for i, step in enumerate(timeline.steps) if step.outcome in ("failed", "unfinished")]
    for index, step in sorted(failed, key=lambda item: (-taken.get(item[0], 0), item[0])):
        more = f", taking {many(taken[index], 'object')} with it" if taken.get(index) else ""
        yield f"* **{_escaped(str(step.step.ref))}** {_escaped(step.step.where)}{more}: {_escaped(step.cause)}"
    for check in timeline.checks:
        if check.level is not Level.INFO:
            said = _escaped(f"{check.cause}; {check.remedy}")
            yield f"* {_escaped(check.check)}: **{_escaped(check.subject)}** {said}"
    failing = {step.step.ref for _, step in failed} | {s.step.ref for s in timeline.steps if s.outcome == "skipped"}
    drift = [d for d in timeline.differences if d.ref not in failing]
    for d in drift[:_DIFFERENCES]:
        said = f" {d.path}: {d.found} instead of {d.wanted}" if d.what == "different" else f" {d.found}"
        yield f"* {d.what}: **{_escaped(str(d.ref))}**{_escaped(said)}"
    if len(drift) > _DIFFERENCES:
        yield f"* {len(drift) - _DIFFERENCES} more differences in report.json"
    if failed or drift or any(check.level is not Level.INFO for check in timeline.checks):
        yield ""


def _chain(timeline: Timeline) -> Iterator[str]:
    if not timeline.chain:
        return
    yield "## What the end waited for"
    yield ""
    yield "| object | at | queued | applied | ready |"
    yield "|---|---:|---:|---:|---:|"
    longest = sorted(timeline.chain, key=lambda link: -link.took)[:_LINKS]
    for link in (link for link in timeline.chain if link in longest):
        name = _escaped(str(timeline.steps[link.step].step.ref))
        parts = " | ".join(f"{part:.2f} s" for part in (link.at, link.queued, link.applying, link.becoming))
        yield f"| {name} | {parts} |"
    if rest := [link for link in timeline.chain if link not in longest]:
        yield f"| {many(len(rest), 'shorter link')} | | | | {sum(link.took for link in rest):.2f} s |"
    yield ""


def _provenance(timeline: Timeline) -> Iterator[str]:
    began = timeline.began
    if began is None:
        return
    yield "## How this was measured"
    yield ""
    yield f"* {_escaped(pins(began.pins))}, {_escaped(began.time)}, dr {_escaped(began.dr)}, order: {began.order}"
    yield f"* target {_escaped(began.target.context)}, {_escaped(began.target.version)}, identity {began.target.uid}"
    phases = ", ".join(
        f"{phase.value} {seconds(timeline.seconds(phase))}" for phase in Phase if timeline.seconds(phase)
    )
    yield f"* {phases}; one monotonic clock in the runner"
    if timeline.resumed:
        yield f"* resumed {many(timeline.resumed, 'time')}; time between counts by wall clock"
    yield f"* compared with git: {many(timeline.ended.verified if timeline.ended else 0, 'object')}"
    yield f"* repeat it: {_escaped(began.command)}"
    yield from (f"* simulated: {_escaped(what)}" for what in began.simulated)
