"""A gameday as Markdown: for a pull request or a ticket, and a record that stands by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from dr.core.events import Mark
from dr.core.history import Row
from dr.core.recovery import Recovery
from dr.core.timeline import Timeline, UnitTime
from dr.report.console import many, pins, seconds
from dr.report.findings import safe
from dr.report.gameday_text import (
    bottleneck,
    compared,
    lost,
    measured,
    objectives,
    probed,
    struck,
    unit_chain,
    unreal,
    verdict,
    wrong,
)
from dr.report.run_text import cut

_WRONG, _UNITS = 50, 200
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&@$])")
# A forge looks for people and issues after it has taken the backslashes away: a space of no width stops it.
_MENTION = re.compile(r"([@#])(?=\w)")
MARKS = {
    Mark.FAULT: "the fault was sent",
    Mark.IMPACT: "a probe failed for the first time",
    Mark.DETECTED: "it was noticed",
    Mark.DECIDED: "the recovery began",
    Mark.INFRASTRUCTURE: "infrastructure exists",
    Mark.CONTROL_PLANE: "the control plane answers",
    Mark.WORKLOADS: "all workloads are ready",
    Mark.RECOVERED: "the probes pass again, and keep passing",
    Mark.CLEAN: "the clean-up is done",
}


def escaped(text: str) -> str:
    """Return text as it is, whatever it holds: no markup, no HTML, no mention of a person or an issue."""
    return _MENTION.sub(r"\1&#8203;", _SPECIAL.sub(r"\\\1", cut(safe(text))))


def table(head: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table and an empty line; `head` are the columns' names, `name:` one of figures. Nothing without rows."""
    names = [name.strip() for name in head.split("|")]
    first = True
    for row in rows:
        if first:
            yield f"| {' | '.join(name.rstrip(':') for name in names)} |"
            yield f"|{'|'.join('---:' if name.endswith(':') else '---' for name in names)}|"
            first = False
        yield f"| {' | '.join(row)} |"
    if not first:
        yield ""


def markdown(timeline: Timeline, recovery: Recovery, earlier: Sequence[Row] = ()) -> bytes:
    """Return the report of a gameday; `earlier` are runs of its scenario before it, oldest first."""
    return ("\n".join(_report(timeline, recovery, earlier)) + "\n").encode()


def _report(timeline: Timeline, recovery: Recovery, earlier: Sequence[Row]) -> Iterator[str]:
    yield f"# {escaped(''.join(part for part, _ in verdict(timeline, recovery)))}"
    yield ""
    yield from table(
        "objective | met | measured",
        ((escaped(label), "✓" if met else "✗", escaped(said)) for label, met, said in objectives(recovery)),
    )
    if sentence := bottleneck(timeline, recovery):
        yield f"**Bottleneck:** {escaped(sentence)}."
        yield ""
    for said in lost(recovery):
        yield f"**Data:** {escaped(said)}"
        yield ""
    yield from _wrong(timeline, recovery)
    if recovery.injected:
        yield f"**Fault:** {escaped(struck(recovery))}"
        yield ""
    yield from _times(recovery)
    yield from _units(timeline, recovery)
    if sentence := compared(recovery, earlier):
        yield f"**Earlier:** {escaped(sentence)}."
        yield ""
    yield from _provenance(timeline, recovery)


def _wrong(timeline: Timeline, recovery: Recovery) -> Iterator[str]:
    found = wrong(timeline, recovery)
    for entry in found[:_WRONG]:
        said = escaped("; ".join(part for part in (entry.cause, entry.remedy) if part))
        yield f"* {escaped(entry.what)}: **{escaped(entry.subject)}** {said}".rstrip()
    if len(found) > _WRONG:
        yield f"* {len(found) - _WRONG} more in report.json"
    if found:
        yield ""


def _times(recovery: Recovery) -> Iterator[str]:
    since = recovery.began
    moments = sorted(recovery.moments.values(), key=lambda m: (m.at, m.mark))
    yield "## What happened when"
    yield ""
    yield from table(
        "mark | after the fault: | or earlier by: | what | who says so",
        ((m.mark, f"{m.at - since:.2f} s", f"{m.error:.2f} s", MARKS[m.mark], escaped(m.by)) for m in moments),
    )
    yield from table("part | took:", ((name, f"{took:.2f} s") for name, took in measured(recovery)))
    rows = (
        (escaped(p.probe.name), escaped(f"{p.probe.kind} {p.probe.what}"), escaped(probed(p))) for p in recovery.probes
    )
    yield from table("probe | asks | saw", rows)
    steps = ((escaped(c.step), f"{c.at - c.began:.1f} s", escaped(c.by), escaped(c.note)) for c in recovery.confirmed)
    yield from table("step of the runbook | took: | confirmed by | note", steps)


def _units(timeline: Timeline, recovery: Recovery) -> Iterator[str]:
    since = recovery.began

    def cells(unit: UnitTime) -> list[str]:
        times = (f"{at - since:.1f} s" if at is not None else "–" for at in (unit.began, unit.ended))
        mark = "✓" if unit.outcome == "ready" else "✗"
        return [escaped(unit.name), str(unit.objects), *times, f"{mark} {unit.outcome}"]

    yield from table("unit | objects: | began: | ready: | outcome", (cells(u) for u in recovery.units[:_UNITS]))
    if len(recovery.units) > _UNITS:
        yield f"{len(recovery.units) - _UNITS} more units in report.json"
        yield ""
    if links := unit_chain(timeline, recovery):
        said = " ← ".join(f"{link.unit} {seconds(link.took)} to {seconds(link.at)}" for link in reversed(links))
        yield f"What the end waited for, last first: {escaped(said)}"
        yield ""


def _provenance(timeline: Timeline, recovery: Recovery) -> Iterator[str]:
    announced, began = recovery.announced, timeline.began
    yield "## How this was measured"
    yield ""
    steady = f"{announced.consecutive} passes in a row of every probe, then {announced.hold:g} s without a failure"
    yield f"* recovered means: {steady}; given up after {announced.timeout:g} s"
    yield "* one monotonic clock in the runner, outside the cluster; each figure may be less by its sampling error"
    file = f"{announced.file} (SHA-256 {announced.digest[:12]})"
    yield f"* gameday {escaped(file)}, scenario {escaped(announced.scenario)}"
    by = {
        "observe": "the cluster itself",
        "restore": "dr, from git",
        "runbook": "people, by a runbook",
        "snapshot": "dr, from a snapshot",
    }
    yield f"* recovered by: {by.get(announced.recovery, escaped(announced.recovery))}"
    if announced.repetitions > 1:
        yield f"* run {announced.repetition} of {announced.repetitions}, seed {announced.seed}"
    if announced.blast_radius:
        yield f"* blast radius: {escaped(announced.blast_radius)}"
    for undone in recovery.undone:
        how = f"NOT taken back: {undone.cause}" if undone.cause else f"taken back by {undone.by}"
        yield f"* fault {escaped(undone.fault)}: {escaped(how)}"
    for role, who in sorted(announced.roles.items()):
        yield f"* {escaped(role)}: {escaped(who)}"
    for approved in recovery.approved:
        until = f" until {approved.until}" if approved.until else ""
        yield f"* approved by {escaped(f'{approved.by}{until} {approved.reference}'.rstrip())}"
    if began is None:
        return
    commits = pins(began.pins)
    yield f"* {escaped(', '.join(part for part in (commits, began.time, f'dr {began.dr}') if part))}"
    for target in (began.target, *(moved.target for moved in recovery.moved)):
        kind = "embedded cluster" if target.embedded else "context"
        yield f"* {kind} {escaped(f'{target.context}, {target.version}, identity {target.uid}')}"
    if began.steps:
        yield f"* compared with git: {many(timeline.verified, 'object')}"
    yield f"* repeat it: {escaped(began.command)}"
    yield from (f"* simulated: {escaped(what)}" for what in unreal(timeline))
    if not unreal(timeline):
        yield "* nothing was simulated"
